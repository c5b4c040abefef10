package omnibox_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/omnibox-go/omnibox"
)

var errBad = errors.New("bad")

func TestMarkingNoErrorGivesNone(t *testing.T) {
	t.Parallel()
	for _, mark := range []func(error) error{omnibox.Permanent, omnibox.Transient, omnibox.Unreachable} {
		require.NoError(t, mark(nil))
		require.ErrorIs(t, mark(errBad), errBad)
		require.EqualError(t, mark(errBad), "bad")
	}
}

func TestErrorsWithoutACauseCanBeRead(t *testing.T) {
	t.Parallel()
	var none *omnibox.Error
	for _, err := range []error{&omnibox.Error{Class: omnibox.ClassPermanent}, &omnibox.Error{}, none} {
		require.NotEmpty(t, err.Error())
		require.NotErrorIs(t, err, errBad)
	}
	require.Equal(t, omnibox.ClassTransient, omnibox.ClassOf(none))
	require.EqualError(t, omnibox.RetryAt(time.Unix(0, 0)), "retry asked for at 1970-01-01T00:00:00Z")
	require.Equal(t, omnibox.ClassPermanent, omnibox.ClassOf(fmt.Errorf("step: %w", omnibox.Permanent(errBad))))
}

func TestErrorsWithoutAClassAreTransient(t *testing.T) {
	t.Parallel()
	for _, class := range []omnibox.Class{"", "Permanent", omnibox.ClassTransient} {
		require.Equal(t, omnibox.ClassTransient, omnibox.ClassOf(&omnibox.Error{Class: class, Err: errBad}))
	}
	for _, class := range []omnibox.Class{omnibox.ClassUnreachable, omnibox.ClassPermanent, omnibox.ClassCancelled, omnibox.ClassPoison} {
		require.Equal(t, class, omnibox.ClassOf(&omnibox.Error{Class: class, Err: errBad}))
	}
}
