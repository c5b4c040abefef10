package store

import (
	"context"
	"errors"

	"github.com/omnibox-go/omnibox"
)

func (s *Store) claimRows(_ context.Context, _ []int) (omnibox.Claim, error) {
	return nil, errors.ErrUnsupported
}
