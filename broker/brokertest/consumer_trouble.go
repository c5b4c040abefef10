package brokertest

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/omnibox-go/omnibox"
	"github.com/omnibox-go/omnibox/broker"
)

func goesOnWithoutAMissingTopic(t *testing.T, f ConsumerFeatures) {
	f.Append(t, numbered(f.Topic, 0, 30)...)
	sub := f.subscription()
	sub.Topics = []string{f.Missing, f.Topic}
	m := f.start(t, sub, commitAll)
	m.waitFor(t, 30)
	require.ErrorContains(t, m.Status().Err, fmt.Sprintf("topic %q does not exist", f.Missing))
	f.Create(t)
	f.Append(t, broker.Message{Topic: f.Missing, Value: []byte("here")})
	f.Append(t, numbered(f.Topic, 30, 33)...)
	m.waitFor(t, 34)
	eventually(t, func() bool { return m.Status().Err == nil }, func() string { return m.Status().Err.Error() })
	require.NoError(t, m.stop())
	require.Len(t, m.all(), 34)
}

func waitsForItsBroker(t *testing.T, f ConsumerFeatures) {
	if f.SetDown == nil {
		t.Skip("the broker cannot be stopped")
	}
	f.Append(t, numbered(f.Topic, 0, 30)...)
	f.SetDown(t, true)
	m := f.start(t, f.subscription(), func(ctx context.Context, m *member, poll []broker.Message) error {
		_ = m.Commit(ctx, last(poll)) // waits for the broker, but not beyond the end
		return nil
	})
	eventually(t, func() bool { return m.Status().Err != nil }, func() string { return "the outage does not show" })
	f.SetDown(t, false)
	m.waitFor(t, 30)
	eventually(t, func() bool { return m.Status().Err == nil }, func() string { return m.Status().Err.Error() })
	f.SetDown(t, true)
	ctx, cancel := context.WithTimeout(t.Context(), short)
	defer cancel()
	if err := m.Commit(ctx, map[broker.Partition]int64{{Topic: f.Topic, ID: 0}: 9}); err != nil {
		require.Equal(t, omnibox.ClassUnreachable, omnibox.ClassOf(err), "%v", err)
	}
	eventually(t, func() bool { return m.Status().Err != nil }, func() string { return "the outage does not show" })
	f.SetDown(t, false)
	f.Append(t, numbered(f.Topic, 30, 60)...)
	eventually(t, func() bool {
		for _, g := range m.all() {
			if g.Offset == 19 {
				return true
			}
		}
		return false
	}, func() string { return fmt.Sprintf("%+v", m.Status()) })
	f.SetDown(t, true)
	require.NoError(t, m.stop(), "also while the broker is down")
	f.SetDown(t, false)
}
