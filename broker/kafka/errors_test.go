package kafka

import (
	"slices"
	"testing"

	"github.com/IBM/sarama"
	"github.com/stretchr/testify/require"

	"github.com/omnibox-go/omnibox"
)

// trap: 37
func TestEveryErrorCodeHasAVerdict(t *testing.T) {
	t.Parallel()
	type is struct {
		verdict verdict
		class   omnibox.Class
	}
	var (
		unreachable = is{resend, omnibox.ClassUnreachable}
		fresh       = is{renew, omnibox.ClassUnreachable}
		bad         = is{refused, omnibox.ClassPermanent}
		odd         = is{refused, omnibox.ClassTransient}
	)
	codes := map[is][]sarama.KError{
		{accepted, ""}: {0, 46},
		unreachable: {
			2, 3, 5, 6, 7, 8, 9, 11, 13, 14, 15, 16, 19, 20, 21, 31, 32, 33, 34, 35, 41, 42, 51, 54, 56, 57, 58, 60,
			61, 62, 63, 64, 65, 66, 67, 72, 74, 75, 76, 77, 78, 80, 83, 89,
		},
		fresh:                                 {45, 47, 49, 59, 90},
		bad:                                   {4, 10, 18, 44, 87},
		{misdirected, omnibox.ClassPermanent}: {17},
		{misdirected, omnibox.ClassTransient}: {29, 43},
		odd:                                   {-1, 1, 12, 22, 23, 24, 25, 26, 27, 28, 30, 36, 37, 38, 39, 40, 48, 50, 52, 53, 55, 68, 69, 70, 71, 73, 79, 81, 82, 84, 85, 86, 88, 91, 92, 93, 94, 95, 96, 120, 999},
	}
	var seen []sarama.KError
	for want, list := range codes {
		for _, code := range list {
			v, class := judge(code)
			require.Equal(t, want, is{v, class}, "%d: %v", code, code)
			seen = append(seen, code)
		}
	}
	for code := sarama.KError(-1); code <= 95; code++ {
		require.True(t, slices.Contains(seen, code), "%d: %v", code, code)
	}
}
