package store

import (
	"bytes"

	"github.com/omnibox-go/omnibox"
)

// wasUnreadable is what Origin.Unreadable says of a message that no event could
// be made of when it landed, and that was put back since. Why is in its dead
// letter.
const wasUnreadable = "could not be read when it was landed"

// appendOrigin adds where the columns of {{origin}} go.
func appendOrigin(targets []any, o *omnibox.Origin) []any {
	return append(targets, &o.MessageID, &o.Source, &o.Partition, &o.Offset, &o.Key, (*finite)(&o.OccurredAt), &o.RawHeaders)
}

// setOrigin completes what was read of the origin. A key stands in the row once:
// as what orders the message if it can, else as it came. A message without a key
// is ordered by its id.
func (r *row) setOrigin() {
	o := r.Origin
	if o.Key == nil && r.Key != o.MessageID {
		o.Key = []byte(r.Key)
	}
	if o.RawHeaders != nil {
		o.Unreadable = wasUnreadable
	}
}

// rawKey is the key of a message as it came, nil if what orders the message
// tells it: see setOrigin.
func rawKey(e *omnibox.Event) []byte {
	key := e.Origin.Key
	if key == nil || e.Key != e.Origin.MessageID && bytes.Equal(key, []byte(e.Key)) {
		return nil
	}
	return key
}
