package omnibox_test

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/omnibox-go/omnibox"
)

func valid() omnibox.Event {
	return omnibox.Event{
		Topic: "orders", Key: "k1", Type: "order.placed",
		Aggregate: omnibox.Aggregate{Type: "order", ID: uuid.New()},
		Payload:   map[string]any{"total": 12.5},
	}
}

// mistakes are the fields and rules that an event breaks, as "Field rule".
func mistakes(t *testing.T, e omnibox.Event) []string {
	t.Helper()
	err := e.Validate()
	if err == nil {
		return nil
	}
	var invalid *omnibox.ValidationError
	require.ErrorAs(t, err, &invalid)
	var all []string
	for _, f := range invalid.Fields {
		all = append(all, f.Field+" "+string(f.Rule))
	}
	return all
}

func TestValidateReportsEveryMistakeOfAField(t *testing.T) {
	t.Parallel()
	long := func(n int) string { return strings.Repeat("ü", n) }
	for name, tc := range map[string]struct {
		change func(*omnibox.Event)
		want   []string
	}{
		"valid":                  {func(*omnibox.Event) {}, nil},
		"longest":                {func(e *omnibox.Event) { e.Topic, e.Key, e.Type = long(255), long(255), long(100) }, nil},
		"no topic":               {func(e *omnibox.Event) { e.Topic = "" }, []string{"Topic required"}},
		"blank topic":            {func(e *omnibox.Event) { e.Topic = " \t\x1c" }, []string{"Topic required"}},
		"long topic":             {func(e *omnibox.Event) { e.Topic = long(256) }, []string{"Topic length"}},
		"long key":               {func(e *omnibox.Event) { e.Key = long(256) }, []string{"Key length"}},
		"long type":              {func(e *omnibox.Event) { e.Type = long(101) }, []string{"Type length"}},
		"long aggregate type":    {func(e *omnibox.Event) { e.Aggregate.Type = long(51) }, []string{"Aggregate.Type length"}},
		"no aggregate":           {func(e *omnibox.Event) { e.Aggregate = omnibox.Aggregate{} }, []string{"Aggregate.Type required", "Aggregate.ID required"}},
		"long version":           {func(e *omnibox.Event) { e.SchemaVersion = long(51) }, []string{"SchemaVersion length"}},
		"long trace":             {func(e *omnibox.Event) { e.TraceID = long(65) }, []string{"TraceID length"}},
		"long correlation":       {func(e *omnibox.Event) { e.CorrelationID = long(65) }, []string{"CorrelationID length"}},
		"long causation":         {func(e *omnibox.Event) { e.CausationID = long(65) }, []string{"CausationID length"}},
		"long idempotency key":   {func(e *omnibox.Event) { e.IdempotencyKey = long(129) }, []string{"IdempotencyKey length"}},
		"blank idempotency key":  {func(e *omnibox.Event) { e.IdempotencyKey = " " }, []string{"IdempotencyKey required"}},
		"NUL":                    {func(e *omnibox.Event) { e.Key = "a\x00b" }, []string{"Key format"}},
		"not UTF-8":              {func(e *omnibox.Event) { e.Key = "a\xff" }, []string{"Key format"}},
		"version 1 id":           {func(e *omnibox.Event) { e.ID = uuid.MustParse("5f7d1c1e-5a5e-11ee-8c99-0242ac120002") }, []string{"ID format"}},
		"no attempts":            {func(e *omnibox.Event) { e.MaxAttempts = -1 }, []string{"MaxAttempts range"}},
		"too many attempts":      {func(e *omnibox.Event) { e.MaxAttempts = math.MaxInt32 + 1 }, []string{"MaxAttempts range"}},
		"a minute ago":           {func(e *omnibox.Event) { e.ScheduledAt = time.Now().Add(-50 * time.Second) }, nil},
		"too long ago":           {func(e *omnibox.Event) { e.ScheduledAt = time.Now().Add(-2 * time.Minute) }, []string{"ScheduledAt range"}},
		"too far ahead":          {func(e *omnibox.Event) { e.ScheduledAt = time.Now().Add(366 * 24 * time.Hour) }, []string{"ScheduledAt range"}},
		"no payload":             {func(e *omnibox.Event) { e.Payload = nil }, []string{"Payload required"}},
		"empty payload":          {func(e *omnibox.Event) { e.Payload = struct{}{} }, []string{"Payload required"}},
		"array payload":          {func(e *omnibox.Event) { e.Payload = []int{1} }, []string{"Payload format"}},
		"null payload":           {func(e *omnibox.Event) { e.Payload = json.RawMessage("null") }, []string{"Payload format"}},
		"nil raw payload":        {func(e *omnibox.Event) { e.Payload = json.RawMessage(nil) }, []string{"Payload format"}},
		"NaN":                    {func(e *omnibox.Event) { e.Payload = map[string]any{"a": math.NaN()} }, []string{"Payload format"}},
		"channel":                {func(e *omnibox.Event) { e.Payload = map[string]any{"a": make(chan int)} }, []string{"Payload format"}},
		"NUL in payload":         {func(e *omnibox.Event) { e.Payload = map[string]any{"a": "\x00"} }, []string{"Payload format"}},
		"body":                   {func(e *omnibox.Event) { e.Payload, e.Body, e.ContentType = nil, []byte{1}, "application/avro" }, nil},
		"body without type":      {func(e *omnibox.Event) { e.Payload, e.Body = nil, []byte{1} }, []string{"ContentType required"}},
		"body and payload":       {func(e *omnibox.Event) { e.Body, e.ContentType = []byte{1}, "x/y" }, []string{"Body conflict"}},
		"large body":             {func(e *omnibox.Event) { e.Payload, e.Body, e.ContentType = nil, make([]byte, 1_000_001), "x/y" }, []string{"Body size"}},
		"type without body":      {func(e *omnibox.Event) { e.ContentType = "x/y" }, []string{"ContentType conflict"}},
		"blank header":           {func(e *omnibox.Event) { e.Headers = map[string]string{"a": " "} }, []string{`Headers["a"] required`}},
		"blank header key":       {func(e *omnibox.Event) { e.Headers = map[string]string{" ": "a"} }, []string{`Headers[""] required`}},
		"long header":            {func(e *omnibox.Event) { e.Headers = map[string]string{"a": long(513)} }, []string{`Headers["a"] length`}},
		"long header key":        {func(e *omnibox.Event) { e.Headers = map[string]string{long(65): "a"} }, []string{`Headers["` + long(64) + `…"] length`}},
		"control in header":      {func(e *omnibox.Event) { e.Headers = map[string]string{"a": "x\ny"} }, []string{`Headers["a"] format`}},
		"tab in header":          {func(e *omnibox.Event) { e.Headers = map[string]string{"a": "x\ty"} }, nil},
		"tab in header key":      {func(e *omnibox.Event) { e.Headers = map[string]string{"a\tb": "x"} }, []string{`Headers["a\tb"] format`}},
		"headers alike":          {func(e *omnibox.Event) { e.Headers = map[string]string{"A": "1", "a": "2"} }, []string{`Headers["a"] conflict`}},
		"headers alike stripped": {func(e *omnibox.Event) { e.Headers = map[string]string{"a": "1", " a": "2"} }, []string{`Headers["a"] conflict`}},
		"everything at once": {
			func(e *omnibox.Event) { *e = omnibox.Event{MaxAttempts: -1} },
			[]string{"Topic required", "Key required", "Type required", "Aggregate.Type required", "Aggregate.ID required", "Payload required", "MaxAttempts range"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := valid()
			tc.change(&e)
			require.Equal(t, tc.want, mistakes(t, e))
		})
	}
}

func TestValidateCountsHeaders(t *testing.T) {
	t.Parallel()
	e := valid()
	e.Headers = make(map[string]string)
	for i := range 101 {
		e.Headers["k"+string(rune('A'+i%26))+strings.Repeat("x", i/26)] = "v"
		if len(e.Headers) == 100 {
			require.NoError(t, e.Validate())
		}
	}
	require.Equal(t, []string{"Headers count"}, mistakes(t, e))
}

func TestValidateKnowsWhatJSONBRefuses(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]string{
		`{"a":"\u0000"}`:                    "has \\u0000",
		`{"\u0000":1}`:                      "has \\u0000",
		`{"a":"\\u0000"}`:                   "",
		`{"a":"\ud800"}`:                    "surrogate",
		`{"a":"\ud800x\udc00"}`:             "surrogate",
		`{"a":"\udc00\ud800"}`:              "surrogate",
		`{"a":"\ud83d\ude00"}`:              "",
		"{\"a\":\"\xff\"}":                  "UTF-8",
		`{"a":1e22}`:                        "",
		`{"a":1e131071}`:                    "more than 4300 digits",
		`{"a":1e131072}`:                    "out of range",
		`{"a":1e-16383}`:                    "",
		`{"a":1.5e-16383}`:                  "out of range",
		`{"a":1e99999999999999999999}`:      "out of range",
		`{"a":-0.5E+3,"b":0,"c":[-1.25e2]}`: "",
		`{"a":`:                             "is not valid JSON, from byte 5 on",
		`{"a":1}}`:                          "is not valid JSON",
		`{"a":[1e-16383` + strings.Repeat(",1e-16383", 61) + `]}`: "has 1015939 bytes",
	} {
		e := valid()
		e.Payload = json.RawMessage(raw)
		err := e.Validate()
		if want == "" {
			require.NoError(t, err, raw)
		} else {
			require.ErrorContains(t, err, want, raw)
		}
	}
}

// A row that Python cannot read would stop omni-box's whole table.
func TestValidateKnowsWhatPythonRefuses(t *testing.T) {
	t.Parallel()
	nested := func(depth int) string { // the object counts
		return `{"a":` + strings.Repeat("[", depth-1) + strings.Repeat("]", depth-1) + `,"b":[[]]}`
	}
	number := func(digits int) string { return strings.Repeat("7", digits) }
	for raw, want := range map[string]string{
		nested(250): "", nested(251): "is nested deeper than 250 levels: send it as a Body",
		`{"a":-` + number(4300) + `}`: "", `{"a":-` + number(4301) + `}`: "has a whole number of more than 4300 digits: send it as a Body",
		`{"a":` + number(5000) + `.5}`: "", `{"a":1e4299}`: "", `{"a":1e4300}`: "more than 4300 digits",
	} {
		e := valid()
		e.Payload = json.RawMessage(raw)
		received := valid()
		received.Payload, received.Origin = e.Payload, &omnibox.Origin{MessageID: "m", Source: "s"}
		require.NoError(t, omnibox.PrepareReceived(&received))
		if want == "" {
			require.NoError(t, e.Validate(), raw)
			require.Equal(t, e.Payload, received.Payload)
			continue
		}
		require.ErrorContains(t, e.Validate(), want, raw)
		require.Nil(t, received.Payload)
		require.Equal(t, raw, string(received.Body), "others may send it, and their numbers keep their digits")
		require.Equal(t, "application/json", received.ContentType)
	}
}

func TestValidateMeasuresThePayloadAsStored(t *testing.T) {
	t.Parallel()
	frame := len(`{"a":""}`)
	for text, size := range map[string]int{
		strings.Repeat("x", 1_000_000-frame):          0,
		strings.Repeat("x", 1_000_001-frame):          1_000_001,
		strings.Repeat("<", 1_000_000-frame):          0,
		strings.Repeat("\u2028", 1_000_002/3):         1_000_002 + frame,
		strings.Repeat("\x01", (1_000_000-frame+6)/6): 1_000_002 - frame + frame,
	} {
		e := valid()
		e.Payload = map[string]string{"a": text}
		err := e.Validate()
		if size == 0 {
			require.NoError(t, err)
			continue
		}
		var invalid *omnibox.ValidationError
		require.ErrorAs(t, err, &invalid)
		require.Equal(t, omnibox.RuleSize, invalid.Fields[0].Rule)
		require.InDelta(t, size, invalid.Fields[0].Found, 6)
	}
}

type secretive struct{}

func (secretive) MarshalJSON() ([]byte, error) {
	return nil, &json.UnsupportedValueError{Str: "hunter2"}
}

func TestValidateNeverQuotesThePayload(t *testing.T) {
	t.Parallel()
	for _, payload := range []any{
		json.RawMessage(`{"hunter2": hunter2}`), json.RawMessage(`"hunter2"`), "hunter2", []byte("hunter2"),
		map[string]any{"hunter2": "hunter2\x00"},
		json.RawMessage(`{"a":"hunter2\ud800"}`),
		secretive{},
		map[string]any{"hunter2": math.Inf(1)},
		json.RawMessage("{\"hunter2\xff\":1}"),
	} {
		e := valid()
		e.Payload = payload
		err := e.Validate()
		require.Error(t, err)
		require.NotContains(t, err.Error(), "hunter2")
	}
	e := valid()
	e.Headers = map[string]string{"token": "hunter2\n."}
	require.NotContains(t, e.Validate().Error(), "hunter2")
}

func TestPrepareNormalizesACopy(t *testing.T) {
	t.Parallel()
	at := time.Now().Add(time.Hour).Truncate(time.Second).Add(123456789).In(time.FixedZone("x", 3600))
	given := valid()
	given.Topic, given.TraceID, given.Headers, given.ScheduledAt = " orders\n", " t ", map[string]string{" a ": " b "}, at
	given.Payload = json.RawMessage(`{ "n" : 1.50, "big": 12345678901234567890123 }`)
	before := given

	got, err := omnibox.Prepare(given)
	require.NoError(t, err)
	require.Equal(t, before, given)
	e := got[0]
	require.Equal(t, "orders", e.Topic)
	require.Equal(t, "t", e.TraceID)
	require.Equal(t, map[string]string{"a": "b"}, e.Headers)
	require.Equal(t, uuid.Version(4), e.ID.Version())
	require.Equal(t, omnibox.DefaultMaxAttempts, e.MaxAttempts)
	require.Equal(t, json.RawMessage(`{"n":1.50,"big":12345678901234567890123}`), e.Payload) //nolint:testifylint // digits count
	require.Equal(t, at.UTC().Truncate(time.Microsecond), e.ScheduledAt)

	again, err := omnibox.Prepare(e)
	require.NoError(t, err)
	require.Equal(t, got, again)
}

func TestPrepareNamesTheEvent(t *testing.T) {
	t.Parallel()
	a, b, c := valid(), valid(), valid()
	a.ID = uuid.New()
	b.Topic = ""
	c.ID = a.ID
	_, err := omnibox.Prepare(a, b, c)
	require.EqualError(t, err, "invalid event: event 1: Topic is required; event 2: ID is that of event 0")

	none, err := omnibox.Prepare()
	require.NoError(t, err)
	require.Empty(t, none)
}

func FuzzPrepare(f *testing.F) {
	f.Add("orders", "k", "h", "v", []byte(`{"a":[1.5e3,"\u00e9\ud83d\ude00",null,true]}`))
	f.Add(" ", "\x00", "\x1f", "\xff", []byte(`{"a":"\ud800"}`))
	f.Add("a", "b", "c", "d", []byte(`{"a":-`))
	f.Fuzz(func(t *testing.T, topic, key, name, value string, payload []byte) {
		e := valid()
		e.Topic, e.Key, e.Headers, e.Payload = topic, key, map[string]string{name: value}, json.RawMessage(payload)
		got, err := omnibox.Prepare(e)
		if err != nil {
			require.NotEmpty(t, err.(*omnibox.ValidationError).Fields) //nolint:errorlint // is never wrapped
			return
		}
		require.True(t, json.Valid(got[0].Payload.(json.RawMessage)))
		again, err := omnibox.Prepare(got...)
		require.NoError(t, err)
		require.Equal(t, got, again)
	})
}
