package kafka

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"os"
	"slices"
	"time"

	"github.com/IBM/sarama"
	"github.com/xdg-go/scram"

	"github.com/omnibox-go/omnibox/broker"
)

// Config of a connection to Kafka.
type Config struct {
	// Addresses to start from, as host:port; the others are learned from them.
	// Required.
	Addresses []string
	// ClientID names us in the broker's logs and quotas. Defaults to "omnibox".
	ClientID string
	// Compression of record batches: none, gzip, snappy, lz4 or zstd. Defaults
	// to none.
	Compression string
	// Version is the newest Kafka whose protocol is spoken, such as "3.6.0", to
	// be set only for what claims more than it can. Defaults to the newest that
	// both sides know.
	Version string
	// DialTimeout bounds one attempt to connect. Defaults to 3 s.
	DialTimeout time.Duration
	// RequestTimeout is how long a broker may take to have a batch replicated,
	// at least 1 ms; it is given up for dead, and the batch sent again, 2 s
	// later. Defaults to 5 s.
	RequestTimeout time.Duration
	// TLS encrypts connections. Defaults to none.
	TLS *TLS
	// SASL authenticates us with a name and password. Defaults to none.
	SASL *SASL
}

// TLS of the connections. Files hold PEM.
type TLS struct {
	// CAFile holds the authorities that brokers are checked against. Defaults
	// to those of the system.
	CAFile string
	// CertFile and KeyFile are our own certificate, for brokers that ask for
	// one. Default to none.
	CertFile string
	KeyFile  string
	// ServerName to find in certificates. Defaults to the host of each address.
	ServerName string
	// InsecureSkipVerify accepts any certificate, from anyone. Defaults to false.
	InsecureSkipVerify bool
}

// SASL is a name and password and how to prove them.
type SASL struct {
	// Mechanism: PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512. Required.
	Mechanism string
	// User and Password. Required.
	User     string
	Password string
}

// answerSlack is how much longer than RequestTimeout an answer may be on its way.
const answerSlack = 2 * time.Second

var codecs = map[string]sarama.CompressionCodec{
	"": sarama.CompressionNone, "none": sarama.CompressionNone, "gzip": sarama.CompressionGZIP,
	"snappy": sarama.CompressionSnappy, "lz4": sarama.CompressionLZ4, "zstd": sarama.CompressionZSTD,
}

var mechanisms = []string{sarama.SASLTypePlaintext, sarama.SASLTypeSCRAMSHA256, sarama.SASLTypeSCRAMSHA512}

// Validate reports every mistake at once: the error joins a *broker.FieldError for
// each. It reads the files of TLS.
func (c *Config) Validate() error {
	var errs []error
	wrong := func(field, format string, args ...any) { errs = append(errs, broker.Mistake(field, format, args...)) }
	if len(c.Addresses) == 0 {
		wrong("addresses", "is required: host:port of one or more brokers")
	}
	for _, a := range c.Addresses {
		if host, port, err := net.SplitHostPort(a); err != nil || host == "" || port == "" {
			wrong("addresses", "%q is not host:port", a)
		}
	}
	if _, ok := codecs[c.Compression]; !ok {
		wrong("compression", "%q is not one of none, gzip, snappy, lz4, zstd", c.Compression)
	}
	if c.Version != "" {
		if v, err := sarama.ParseKafkaVersion(c.Version); err != nil || !v.IsAtLeast(sarama.V2_1_0_0) {
			wrong("version", "%q is not a version of Kafka from 2.1.0.0 on", c.Version)
		}
	}
	if c.DialTimeout < 0 {
		wrong("dial_timeout", "%s is negative", c.DialTimeout)
	}
	if c.RequestTimeout != 0 && c.RequestTimeout < time.Millisecond {
		wrong("request_timeout", "%s is less than 1ms", c.RequestTimeout)
	}
	if c.TLS != nil {
		_, found := c.TLS.config()
		errs = append(errs, found...)
	}
	if s := c.SASL; s != nil {
		if !slices.Contains(mechanisms, s.Mechanism) {
			wrong("sasl.mechanism", "%q is not one of PLAIN, SCRAM-SHA-256, SCRAM-SHA-512", s.Mechanism)
		}
		if s.User == "" {
			wrong("sasl.username", "is required")
		}
		if s.Password == "" {
			wrong("sasl.password", "is required")
		}
	}
	return errors.Join(errs...)
}

// sarama gives the configuration of the connections.
func (c *Config) sarama() (*sarama.Config, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	conf := sarama.NewConfig()
	conf.ClientID = cmp.Or(c.ClientID, "omnibox")
	conf.Version = sarama.MaxVersion // brokers say what they know, and get no more
	if c.Version != "" {
		conf.Version, _ = sarama.ParseKafkaVersion(c.Version)
	}
	conf.Net.DialTimeout = cmp.Or(c.DialTimeout, 3*time.Second)
	conf.Net.WriteTimeout = c.requestTimeout() + answerSlack
	conf.Net.ReadTimeout = c.requestTimeout() + answerSlack
	conf.Net.MaxOpenRequests = 1
	if c.TLS != nil {
		conf.Net.TLS.Enable = true
		conf.Net.TLS.Config, _ = c.TLS.config()
	}
	if s := c.SASL; s != nil {
		conf.Net.SASL.Enable = true
		conf.Net.SASL.Version = sarama.SASLHandshakeV1
		conf.Net.SASL.Mechanism = sarama.SASLMechanism(s.Mechanism)
		conf.Net.SASL.User, conf.Net.SASL.Password = s.User, s.Password
		conf.Net.SASL.SCRAMClientGeneratorFunc = func() sarama.SCRAMClient {
			return &scramClient{sha512: s.Mechanism == sarama.SASLTypeSCRAMSHA512}
		}
	}
	return conf, conf.Validate()
}

func (c *Config) requestTimeout() time.Duration { return cmp.Or(c.RequestTimeout, 5*time.Second) }

func (c *Config) codec() sarama.CompressionCodec { return codecs[c.Compression] }

// config reads the files, and gives every mistake.
func (t *TLS) config() (*tls.Config, []error) {
	var errs []error
	conf := &tls.Config{
		MinVersion: tls.VersionTLS12, ServerName: t.ServerName,
		InsecureSkipVerify: t.InsecureSkipVerify, //nolint:gosec // asked for by that name
	}
	if t.CAFile != "" {
		pem, err := os.ReadFile(t.CAFile)
		conf.RootCAs = x509.NewCertPool()
		switch {
		case err != nil:
			errs = append(errs, broker.Mistake("tls.ca", "%w", err))
		case !conf.RootCAs.AppendCertsFromPEM(pem):
			errs = append(errs, broker.Mistake("tls.ca", "no certificate in %s", t.CAFile))
		}
	}
	if (t.CertFile == "") != (t.KeyFile == "") {
		errs = append(errs, broker.Mistake("tls", "cert and key go together: set both or neither"))
	} else if t.CertFile != "" {
		pair, err := tls.LoadX509KeyPair(t.CertFile, t.KeyFile)
		if err != nil {
			errs = append(errs, broker.Mistake("tls.cert", "%w", err))
		}
		conf.Certificates = []tls.Certificate{pair}
	}
	return conf, errs
}

// scramClient makes xdg-go/scram fit sarama.
type scramClient struct {
	sha512       bool
	conversation *scram.ClientConversation
}

func (s *scramClient) Begin(user, password, authzID string) error {
	hash := scram.SHA256
	if s.sha512 {
		hash = scram.SHA512
	}
	client, err := hash.NewClient(user, password, authzID)
	if err != nil {
		return err
	}
	s.conversation = client.NewConversation()
	return nil
}

func (s *scramClient) Step(challenge string) (string, error) { return s.conversation.Step(challenge) }

func (s *scramClient) Done() bool { return s.conversation.Done() }
