package config

import (
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// refused are keys that exist elsewhere and not here, with the reason.
var refused = map[string]string{
	"outboxes.*.filter.source":   "outbox rows have no source: filter by topics, types or aggregate_types",
	"outboxes.*.filter.sources":  "outbox rows have no source: filter by topics, types or aggregate_types",
	"outboxes.*.filter.topic":    "it is a list: topics: [orders]",
	"outboxes.*.filter.type":     "it is a list: types: [order.placed]",
	"outboxes.*.max_attempts":    "the number of attempts is in each row: set it when the event is written",
	"inboxes.*.filter":           "an inbox takes all messages of its topics: leave out by a step, or skip in the handler",
	"inboxes.*.converter":        "messages are read as message says",
	"inboxes.*.topic":            "it is a list: topics: [orders]",
	"inboxes.*.max_attempts":     "messages have the default of 6 attempts",
	"databases.*.max_conns":      "it goes into the url: …?pool_max_conns=20",
	"databases.*.pool_max_conns": "it goes into the url: …?pool_max_conns=20",
}

var namePattern = regexp.MustCompile(`^[a-z0-9-]{1,40}$`)

// origins is where each key came from.
type origins map[string]string

// of finds where the key or, if it is not set, its section came from.
func (o origins) of(path string) string {
	for {
		if where, ok := o[path]; ok {
			return where
		}
		i := strings.LastIndexByte(path, '.')
		if i < 0 {
			return ""
		}
		path = path[:i]
	}
}

// key is one key of a section.
type key struct {
	name  string
	typ   reflect.Type
	tag   reflect.StructTag
	index []int
}

// keysOf lists the keys of a section, those that it has in common with others
// included.
func keysOf(t reflect.Type) []key {
	var keys []key
	for _, f := range reflect.VisibleFields(t) {
		if tag, ok := f.Tag.Lookup("yaml"); ok && !f.Anonymous {
			name, _, _ := strings.Cut(tag, ",")
			keys = append(keys, key{name: name, typ: f.Type, tag: f.Tag, index: f.Index})
		}
	}
	return keys
}

// decoder fills a Config from a tree and collects every mistake.
type decoder struct {
	origins  origins
	misspelt map[string]bool // keys that are not there, and were probably meant
	problems problems
}

func (d *decoder) problem(where, path, format string, args ...any) {
	d.problems = append(d.problems, &MistakeError{Where: where, Path: path, Text: fmt.Sprintf(format, args...)})
}

func (d *decoder) decode(n *node, path string, into *Config) {
	d.section(n, path, reflect.ValueOf(into).Elem())
}

func (d *decoder) section(n *node, path string, v reflect.Value) {
	keys := keysOf(v.Type())
	for _, k := range keys {
		d.preset(k, path, v.FieldByIndex(k.index))
	}
	if n.kind == scalar || n.kind == list {
		d.problem(n.where, path, "is a section with keys, not %s", n.kind)
		return
	}
	for _, f := range n.fields {
		at := join(path, f.name)
		i := slices.IndexFunc(keys, func(k key) bool { return k.name == f.name })
		if i < 0 {
			d.unknown(f, at, keys)
			continue
		}
		d.origins[at] = f.value.where
		d.value(f.value, at, keys[i], v.FieldByIndex(keys[i].index))
	}
}

func (d *decoder) unknown(f field, path string, keys []key) {
	for pattern, why := range refused {
		if below(path, pattern) {
			d.problem(f.where, path, "%s", why)
			return
		}
	}
	names := make([]string, len(keys))
	for i, k := range keys {
		names[i] = k.name
	}
	if best, ok := meant(f.name, names); ok {
		d.misspelt[strings.TrimSuffix(path, f.name)+best] = true
	}
	d.problem(f.where, path, "no such key; %s", suggest(f.name, names))
}

// preset gives a key its default.
func (d *decoder) preset(k key, path string, v reflect.Value) {
	switch {
	case k.typ.Kind() == reflect.Struct:
		d.section(&node{}, join(path, k.name), v)
	case k.typ.Kind() == reflect.Map:
		v.Set(reflect.MakeMap(k.typ))
	default:
		if text, ok := k.tag.Lookup("default"); ok {
			d.scalar(&node{kind: scalar, text: text}, path, k, v)
		}
	}
}

func (d *decoder) value(n *node, path string, k key, v reflect.Value) {
	switch {
	case k.typ.Kind() == reflect.Struct:
		d.section(n, path, v)
	case k.typ.Kind() == reflect.Pointer: // the section is there, even if empty
		v.Set(reflect.New(k.typ.Elem()))
		d.section(n, path, v.Elem())
	case k.typ.Kind() == reflect.Map:
		d.entries(n, path, v)
	case k.typ.Kind() == reflect.Slice:
		d.list(n, path, k, v)
	default:
		d.scalar(n, path, k, v)
	}
}

func (d *decoder) entries(n *node, path string, v reflect.Value) {
	if n.kind == scalar || n.kind == list {
		d.problem(n.where, path, "is a section with names, not %s", n.kind)
		return
	}
	for _, f := range n.fields {
		at := join(path, f.name)
		d.origins[at] = f.where
		if !namePattern.MatchString(f.name) {
			d.problem(f.where, at, "a name has 1 to 40 lower-case letters, digits and dashes")
		}
		entry := reflect.New(v.Type().Elem()).Elem()
		d.section(f.value, at, entry)
		v.SetMapIndex(reflect.ValueOf(f.name), entry)
	}
}

func (d *decoder) list(n *node, path string, k key, v reflect.Value) {
	if n.kind == scalar || n.kind == mapping {
		d.problem(n.where, path, "is a list, such as [a, b], not %s", n.kind)
		return
	}
	out := reflect.Zero(k.typ)
	for _, item := range n.items {
		one := reflect.New(k.typ.Elem()).Elem()
		if strings.TrimSpace(item.text) == "" {
			d.problem(item.where, path, "an item of the list is empty")
			continue
		}
		d.scalar(item, path, k, one)
		out = reflect.Append(out, one)
	}
	v.Set(out)
}

func (d *decoder) scalar(n *node, path string, k key, v reflect.Value) {
	if n.kind == nothing {
		return
	}
	if n.kind != scalar {
		d.problem(n.where, path, "is a single value, not %s", n.kind)
		return
	}
	var wrong string
	switch {
	case v.Type() == durationType:
		wrong = setDuration(n.text, k, v)
	case v.Kind() == reflect.Int:
		wrong = setInt(n.text, k, v)
	case v.Kind() == reflect.Bool:
		wrong = setBool(n.text, v)
	default:
		wrong = setString(n.text, k, v)
	}
	if wrong != "" {
		d.problem(n.where, path, "%s", wrong)
	}
}

func setDuration(text string, k key, v reflect.Value) string {
	got, err := time.ParseDuration(text)
	if err != nil {
		return fmt.Sprintf("%q is not a duration; give a number with its unit, such as %s", text, k.tag.Get("default"))
	}
	low, _ := time.ParseDuration(k.tag.Get("min"))
	high, _ := time.ParseDuration(k.tag.Get("max"))
	if got < low || got > high {
		return outOfRange(text, k)
	}
	v.SetInt(int64(got))
	return ""
}

func setInt(text string, k key, v reflect.Value) string {
	got, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return fmt.Sprintf("%q is not a whole number", text)
	}
	low, _ := strconv.ParseInt(k.tag.Get("min"), 10, 64)
	high, _ := strconv.ParseInt(k.tag.Get("max"), 10, 64)
	if got < low || got > high {
		return outOfRange(text, k)
	}
	v.SetInt(got)
	return ""
}

func outOfRange(text string, k key) string {
	out := fmt.Sprintf("%s is out of range: %s to %s", text, k.tag.Get("min"), k.tag.Get("max"))
	if why := k.tag.Get("why"); why != "" {
		out += " (" + why + ")"
	}
	return out
}

func setBool(text string, v reflect.Value) string {
	if text != "true" && text != "false" {
		return fmt.Sprintf("%q is neither true nor false", text)
	}
	v.SetBool(text == "true")
	return ""
}

func setString(text string, k key, v reflect.Value) string {
	if enum := k.tag.Get("enum"); enum != "" {
		valid := strings.Split(enum, ",")
		if !slices.Contains(valid, text) {
			return fmt.Sprintf("%q is not one of %s", text, strings.Join(valid, ", "))
		}
	}
	if pattern := k.tag.Get("pattern"); pattern != "" {
		if !regexp.MustCompile("^(?:" + pattern + ")$").MatchString(text) {
			return fmt.Sprintf("%q is not allowed here; an example: %s", text, k.tag.Get("example"))
		}
	}
	v.SetString(text)
	return ""
}
