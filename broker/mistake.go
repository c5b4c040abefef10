package broker

import "fmt"

// FieldError is one mistake in what a broker, a consumer or a reader is configured
// with.
type FieldError struct {
	// Field as a configuration file has it, such as tls.ca.
	Field string
	Err   error
}

func (e *FieldError) Error() string { return e.Field + ": " + e.Err.Error() }

// Unwrap gives what is wrong with the field.
func (e *FieldError) Unwrap() error { return e.Err }

// Mistake makes a *FieldError.
func Mistake(field, format string, args ...any) error {
	return &FieldError{Field: field, Err: fmt.Errorf(format, args...)}
}
