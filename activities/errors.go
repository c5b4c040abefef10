package activities

import (
	"context"
	"errors"

	"go.temporal.io/sdk/temporal"

	"github.com/omnibox-go/omnibox"
)

// Types of the application errors that a workflow, or a person in the UI, sees.
const (
	TypeWrongDatabase = "wrong database"
	TypeUnreachable   = "unreachable"
)

// fail maps an error of the domain to one of Temporal. All are retryable: what
// ends a poller is a person, not an error.
func fail(err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, context.Canceled) {
		return temporal.NewCanceledError()
	}
	if _, wrong := errors.AsType[*WrongDatabaseError](err); wrong {
		return temporal.NewApplicationError(err.Error(), TypeWrongDatabase)
	}
	return temporal.NewApplicationError(err.Error(), typeOf(err))
}

func typeOf(err error) string {
	if omnibox.ClassOf(err) == omnibox.ClassUnreachable {
		return TypeUnreachable
	}
	return "error"
}
