package omnibox

import "time"

// Limits of an event, the same as omni-box's, so that rows and messages can be
// exchanged with it. Lengths are in characters unless said otherwise.
const (
	MaxTopic          = 255
	MaxKey            = 255
	MaxType           = 100
	MaxAggregateType  = 50
	MaxSchemaVersion  = 50
	MaxTraceID        = 64
	MaxCorrelationID  = 64
	MaxCausationID    = 64
	MaxIdempotencyKey = 128
	MaxPayloadBytes   = 1_000_000 // compact JSON, or the body
	MaxPayloadDepth   = 250       // of objects and arrays in one another; Python reads 255
	MaxPayloadDigits  = 4300      // of a whole number in a payload, which is all that Python reads
	MaxHeaders        = 100
	MaxHeaderKey      = 64
	MaxHeaderValue    = 512
	MaxErrorBytes     = 2000 // of a row's last_error, in bytes
	MaxContentType    = 255
	MaxMessageID      = 255
	MaxSource         = 255
	MaxGroup          = 255 // of consumers

	// DefaultMaxAttempts is how many counted failures make an event dead.
	DefaultMaxAttempts = 6
	// MaxSchedule is how far ahead of its creation an event may be scheduled.
	MaxSchedule = 365 * 24 * time.Hour
	// MaxScheduleSkew is how far before its creation an event may be scheduled.
	MaxScheduleSkew = time.Minute
)
