package memstore

import (
	"context"
	"maps"
	"reflect"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/omnibox-go/omnibox/store/storetest"
)

// Each flaw makes a test of the contract fail, and each test of the contract
// fails for a flaw: a test that cannot fail guarantees nothing.
func TestMutants(t *testing.T) {
	t.Parallel()
	tests := map[string]func(testing.TB, storetest.System){}
	for _, test := range storetest.Tests() {
		tests[test.Name] = test.Run
	}
	for _, test := range storetest.InboxTests() {
		tests[test.Name] = func(t testing.TB, s storetest.System) {
			t.Helper()
			test.Run(t, s.(storetest.InboxSystem))
		}
	}
	noticed := map[string]bool{}
	for i := range reflect.TypeFor[flaw]().NumField() {
		name := reflect.TypeFor[flaw]().Field(i).Name
		var by []string
		for test, run := range tests {
			if fails(t, run, brokenTable(i)) {
				by = append(by, test)
				noticed[test] = true
			}
		}
		slices.Sort(by)
		require.NotEmpty(t, by, "nothing notices the flaw %s", name)
		t.Logf("%s: %q", name, by)
	}
	for _, test := range slices.Sorted(maps.Keys(tests)) {
		require.True(t, noticed[test], "no flaw makes %q fail", test)
	}
}

// brokenTable has the i-th flaw.
func brokenTable(i int) *Table {
	table := New()
	f := reflect.ValueOf(&table.broken).Elem().Field(i)
	*(*bool)(f.Addr().UnsafePointer()) = true
	return table
}

// fails runs a test and tells whether it fails.
func fails(t testing.TB, run func(testing.TB, storetest.System), table *Table) bool {
	t.Helper()
	r := &recorder{TB: t, ctx: t.Context()}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() {
			if recover() != nil {
				r.failed.Store(true)
			}
		}()
		run(r, system{table})
	}()
	<-done
	return r.failed.Load()
}

// recorder takes the failures of a test instead of reporting them.
type recorder struct {
	testing.TB
	ctx    context.Context //nolint:containedctx // that of the test it stands for
	failed atomic.Bool
}

func (r *recorder) Helper()                  {}
func (r *recorder) Log(...any)               {}
func (r *recorder) Logf(string, ...any)      {}
func (r *recorder) Error(...any)             { r.failed.Store(true) }
func (r *recorder) Errorf(string, ...any)    { r.failed.Store(true) }
func (r *recorder) Fail()                    { r.failed.Store(true) }
func (r *recorder) FailNow()                 { r.failed.Store(true); runtime.Goexit() }
func (r *recorder) Fatal(...any)             { r.FailNow() }
func (r *recorder) Fatalf(string, ...any)    { r.FailNow() }
func (r *recorder) Failed() bool             { return r.failed.Load() }
func (r *recorder) Context() context.Context { return r.ctx }
