package store_test

import (
	"fmt"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/omnibox-go/omnibox/store"
)

// BenchmarkEnqueue is a transaction with the insert of a business row and so
// many events; 0 is that of the row alone.
func BenchmarkEnqueue(b *testing.B) {
	db := pool(b, outboxURL(b))
	_, err := db.Exec(b.Context(), "create table business (id uuid primary key, total int)")
	require.NoError(b, err)
	for _, n := range []int{0, 1, 10, 100, 1000} {
		b.Run(fmt.Sprintf("events=%d", n), func(b *testing.B) {
			events := orders(n)
			for b.Loop() {
				err := pgx.BeginFunc(b.Context(), db, func(tx pgx.Tx) error {
					if _, err := tx.Exec(b.Context(), "insert into business values ($1, $2)", uuid.New(), n); err != nil {
						return err
					}
					if n == 0 {
						return nil
					}
					_, err := store.Outbox{}.Enqueue(b.Context(), tx, events...)
					return err
				})
				require.NoError(b, err)
			}
		})
	}
}
