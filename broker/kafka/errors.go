package kafka

import (
	"errors"
	"fmt"

	"github.com/IBM/sarama"

	"github.com/omnibox-go/omnibox"
)

// verdict is what an answer of a broker means for a batch.
type verdict int

const (
	// accepted: the batch is in the log and as durable as acks=all makes it.
	accepted verdict = iota
	// resend: the same batch with the same sequence may succeed soon. It may be
	// in the log already; the broker then recognizes the sequence.
	resend
	// renew: the broker and we disagree about the sequence. The records go
	// again under a new producer id.
	renew
	// refused: the batch is not in the log, and a record of it may be why.
	refused
	// misdirected: the batch is not in the log because of its topic. The
	// records are not to blame, and sending them again now is no use.
	misdirected
)

// ruling is a verdict with the class of the error of a record that was refused
// alone or misdirected, or given up while it waited.
type ruling struct {
	verdict verdict
	class   omnibox.Class
}

// rulings on the error codes that a broker may answer with, and why.
var rulings = index([]grounds{
	{ruling{accepted, ""}, []sarama.KError{
		sarama.ErrNoError,
		// An earlier try arrived; only its answer was lost.
		sarama.ErrDuplicateSequenceNumber,
	}},
	{ruling{resend, omnibox.ClassUnreachable}, []sarama.KError{
		// The leader has moved, is moving, or has not heard of it yet.
		sarama.ErrLeaderNotAvailable, sarama.ErrNotLeaderForPartition, sarama.ErrReplicaNotAvailable,
		sarama.ErrBrokerNotAvailable, sarama.ErrNotController, sarama.ErrFencedLeaderEpoch,
		sarama.ErrUnknownLeaderEpoch, sarama.ErrStaleControllerEpochCode, sarama.ErrStaleBrokerEpoch,
		sarama.ErrPreferredLeaderNotAvailable, sarama.ErrEligibleLeadersNotAvailable,
		sarama.ErrReassignmentInProgress, sarama.ErrOffsetNotAvailable,
		// A leader that has just been elected may not know the partition yet.
		// Whether the topic is missing is decided by asking for its metadata.
		sarama.ErrUnknownTopicOrPartition,
		// The replicas are too few or too slow; the leader may have the batch.
		sarama.ErrRequestTimedOut, sarama.ErrNotEnoughReplicas, sarama.ErrNotEnoughReplicasAfterAppend,
		// The broker or the way to it is in trouble.
		sarama.ErrNetworkException, sarama.ErrKafkaStorageError, sarama.ErrLogDirNotFound,
		sarama.ErrThrottlingQuotaExceeded,
		// Damaged on the way: what was encoded was whole.
		sarama.ErrInvalidMessage,
		// A coordinator is loading (while a producer id is asked for).
		sarama.ErrOffsetsLoadInProgress, sarama.ErrConsumerCoordinatorNotAvailable,
		sarama.ErrNotCoordinatorForConsumer, sarama.ErrConcurrentTransactions,
	}},
	// The cluster does not want us at all, or does not understand us. That is
	// for a person to mend and no fault of any event, so everything waits, as
	// it does in an outage.
	{ruling{resend, omnibox.ClassUnreachable}, []sarama.KError{
		sarama.ErrClusterAuthorizationFailed, sarama.ErrSASLAuthenticationFailed,
		sarama.ErrUnsupportedSASLMechanism, sarama.ErrIllegalSASLState, sarama.ErrSecurityDisabled,
		sarama.ErrDelegationTokenAuthDisabled, sarama.ErrDelegationTokenNotFound,
		sarama.ErrDelegationTokenOwnerMismatch, sarama.ErrDelegationTokenRequestNotAllowed,
		sarama.ErrDelegationTokenAuthorizationFailed, sarama.ErrDelegationTokenExpired,
		sarama.ErrInvalidPrincipalType, sarama.ErrListenerNotFound,
		sarama.ErrUnsupportedVersion, sarama.ErrInvalidRequest, sarama.ErrInvalidRequiredAcks,
		sarama.ErrUnsupportedCompressionType,
		// The time in a record is that of our clock when it is sent, not the
		// event's: it is wrong by more than the topic allows.
		sarama.ErrInvalidTimestamp,
	}},
	// The broker has forgotten the producer, or an abandoned batch left a gap.
	{ruling{renew, omnibox.ClassUnreachable}, []sarama.KError{
		sarama.ErrOutOfOrderSequenceNumber, sarama.ErrUnknownProducerID, sarama.ErrInvalidProducerEpoch,
		sarama.ErrProducerFenced, sarama.ErrInvalidProducerIDMapping,
	}},
	// One record of the batch, or the batch as a whole, is not acceptable.
	{ruling{refused, omnibox.ClassPermanent}, []sarama.KError{
		sarama.ErrMessageSizeTooLarge, sarama.ErrMessageSetSizeTooLarge, sarama.ErrInvalidRecord,
		sarama.ErrPolicyViolation, sarama.ErrInvalidMessageSize,
	}},
	// No topic can have this name.
	{ruling{misdirected, omnibox.ClassPermanent}, []sarama.KError{sarama.ErrInvalidTopic}},
	// The topic is closed to us, or too old for headers and sequences: other
	// topics go on, and the events of this one are tried again, visibly.
	{ruling{misdirected, omnibox.ClassTransient}, []sarama.KError{
		sarama.ErrTopicAuthorizationFailed, sarama.ErrUnsupportedForMessageFormat,
	}},
})

// grounds is a ruling and the codes that it is about.
type grounds struct {
	ruling
	codes []sarama.KError
}

func index(list []grounds) map[sarama.KError]ruling {
	out := make(map[sarama.KError]ruling)
	for _, g := range list {
		for _, code := range g.codes {
			out[code] = g.ruling
		}
	}
	return out
}

// judge gives the ruling on an error code.
func judge(code sarama.KError) (verdict, omnibox.Class) {
	if r, ok := rulings[code]; ok {
		return r.verdict, r.class
	}
	// The rest has no business in an answer to us: codes of consumer groups,
	// transactions and administration, codes yet unknown, and "unknown server
	// error", by which a broker reports its own bugs. It may depend on a record,
	// so they go one by one; but nobody is dead at once for it.
	return refused, omnibox.ClassTransient
}

// codeOf gives the Kafka error code that err carries.
func codeOf(err error) (sarama.KError, bool) { return errors.AsType[sarama.KError](err) }

// fault gives err a class.
func fault(class omnibox.Class, err error) error { return &omnibox.Error{Class: class, Err: err} }

// missing is the error of a topic that the cluster says does not exist; named is
// where its name may be wrong.
func missing(topic, named string) error {
	return fault(omnibox.ClassTransient, fmt.Errorf(
		"topic %q does not exist: create it (kafka-topics --create --topic %s), or correct %s: %w",
		topic, topic, named, sarama.ErrUnknownTopicOrPartition))
}
