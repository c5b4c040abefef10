package kafka

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"time"

	"github.com/IBM/sarama"
	"github.com/xdg-go/scram"
)

// Config of a connection to Kafka.
type Config struct {
	// Addresses to start from, as host:port; the others are learned from them.
	// Required.
	Addresses []string `yaml:"addresses"`
	// ClientID names us in the broker's logs and quotas. Defaults to "omnibox".
	ClientID string `yaml:"client_id"`
	// Compression of record batches: none, gzip, snappy, lz4 or zstd. Defaults
	// to none.
	Compression string `yaml:"compression"`
	// Version is the newest Kafka whose protocol is spoken, such as "3.6.0", to
	// be set only for what claims more than it can. Defaults to the newest that
	// both sides know.
	Version string `yaml:"version"`
	// DialTimeout bounds one attempt to connect. Defaults to 3 s.
	DialTimeout time.Duration `yaml:"dial_timeout"`
	// RequestTimeout is how long a broker may take to have a batch replicated,
	// at least 1 ms; it is given up for dead, and the batch sent again, 2 s
	// later. Defaults to 5 s.
	RequestTimeout time.Duration `yaml:"request_timeout"`
	// TLS encrypts connections. Defaults to none.
	TLS *TLS `yaml:"tls"`
	// SASL authenticates us with a name and password. Defaults to none.
	SASL *SASL `yaml:"sasl"`
}

// TLS of the connections. Files hold PEM.
type TLS struct {
	// CAFile holds the authorities that brokers are checked against. Defaults
	// to those of the system.
	CAFile string `yaml:"ca_file"`
	// CertFile and KeyFile are our own certificate, for brokers that ask for
	// one. Default to none.
	CertFile string `yaml:"cert_file"`
	KeyFile  string `yaml:"key_file"`
	// ServerName to find in certificates. Defaults to the host of each address.
	ServerName string `yaml:"server_name"`
	// InsecureSkipVerify accepts any certificate, from anyone. Defaults to false.
	InsecureSkipVerify bool `yaml:"insecure_skip_verify"`
}

// SASL is a name and password and how to prove them.
type SASL struct {
	// Mechanism: PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512. Required.
	Mechanism string `yaml:"mechanism"`
	// User and Password. Required.
	User     string `yaml:"user"`
	Password string `yaml:"password"`
}

// answerSlack is how much longer than RequestTimeout an answer may be on its way.
const answerSlack = 2 * time.Second

var codecs = map[string]sarama.CompressionCodec{
	"": sarama.CompressionNone, "none": sarama.CompressionNone, "gzip": sarama.CompressionGZIP,
	"snappy": sarama.CompressionSnappy, "lz4": sarama.CompressionLZ4, "zstd": sarama.CompressionZSTD,
}

var mechanisms = []string{sarama.SASLTypePlaintext, sarama.SASLTypeSCRAMSHA256, sarama.SASLTypeSCRAMSHA512}

// Validate reports every mistake at once.
func (c *Config) Validate() error {
	var errs []error
	mistake := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if len(c.Addresses) == 0 {
		mistake("addresses: at least one broker is required")
	}
	for _, a := range c.Addresses {
		if host, port, err := net.SplitHostPort(a); err != nil || host == "" || port == "" {
			mistake("addresses: %q is not host:port", a)
		}
	}
	if _, ok := codecs[c.Compression]; !ok {
		mistake("compression: %q is not one of none, gzip, snappy, lz4, zstd", c.Compression)
	}
	if c.Version != "" {
		if v, err := sarama.ParseKafkaVersion(c.Version); err != nil || !v.IsAtLeast(sarama.V2_1_0_0) {
			mistake("version: %q is not a version of Kafka from 2.1.0.0 on", c.Version)
		}
	}
	if c.DialTimeout < 0 {
		mistake("dial_timeout: %s is negative", c.DialTimeout)
	}
	if c.RequestTimeout != 0 && c.RequestTimeout < time.Millisecond {
		mistake("request_timeout: %s is less than 1ms", c.RequestTimeout)
	}
	if c.TLS != nil {
		if _, err := c.TLS.config(); err != nil {
			errs = append(errs, err)
		}
	}
	if s := c.SASL; s != nil {
		if !slices.Contains(mechanisms, s.Mechanism) {
			mistake("sasl.mechanism: %q is not one of PLAIN, SCRAM-SHA-256, SCRAM-SHA-512", s.Mechanism)
		}
		if s.User == "" {
			mistake("sasl.user: required")
		}
		if s.Password == "" {
			mistake("sasl.password: required")
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

// config reads the files.
func (t *TLS) config() (*tls.Config, error) {
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
			errs = append(errs, fmt.Errorf("tls.ca_file: %w", err))
		case !conf.RootCAs.AppendCertsFromPEM(pem):
			errs = append(errs, fmt.Errorf("tls.ca_file: no certificate in %s", t.CAFile))
		}
	}
	if (t.CertFile == "") != (t.KeyFile == "") {
		errs = append(errs, errors.New("tls: cert_file and key_file belong together"))
	} else if t.CertFile != "" {
		pair, err := tls.LoadX509KeyPair(t.CertFile, t.KeyFile)
		if err != nil {
			errs = append(errs, fmt.Errorf("tls.cert_file, tls.key_file: %w", err))
		}
		conf.Certificates = []tls.Certificate{pair}
	}
	return conf, errors.Join(errs...)
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
