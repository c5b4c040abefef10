// Package interop shows that omnibox and the Python library omni-box take each
// other's messages and tables: tests that run both, on a real Kafka and Postgres.
// "make test-interop" runs them.
package interop
