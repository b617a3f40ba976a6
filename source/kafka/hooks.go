package kafka

import (
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// hooks is told by the client what it does not tell those who poll: it tries
// again for ever, and nobody would know why nothing comes.
type hooks struct{ c *Consumer }

// OnBrokerConnect implements [kgo.HookBrokerConnect].
func (h hooks) OnBrokerConnect(meta kgo.BrokerMetadata, _ time.Duration, _ net.Conn, err error) {
	h.c.mu.Lock()
	was := h.c.down
	h.c.down = err != nil
	closed := h.c.cl != nil && h.c.cl.Context().Err() != nil
	h.c.mu.Unlock()
	at := net.JoinHostPort(meta.Host, fmt.Sprint(meta.Port))
	switch {
	case closed:
	case err != nil && !was:
		h.c.cfg.Notice(fmt.Sprintf("%v; it is tried again until it is there", h.c.explain(err)))
	case err == nil && was:
		h.c.cfg.Notice("connected with " + at + " again")
	}
	if err != nil && refused(err) {
		h.c.stop(h.c.explain(err))
	}
}

// OnGroupManageError implements [kgo.HookGroupManageError].
func (h hooks) OnGroupManageError(err error) {
	switch {
	case errors.Is(err, kerr.GroupAuthorizationFailed), errors.Is(err, kerr.TopicAuthorizationFailed), errors.Is(err, kerr.InconsistentGroupProtocol),
		errors.Is(err, kerr.InvalidGroupID), errors.Is(err, kerr.GroupMaxSizeReached), errors.Is(err, kerr.InvalidSessionTimeout), refused(err):
		h.c.stop(h.c.explain(err))
	}
}

// refused reports whether trying again is of no use.
func refused(err error) bool {
	return errors.Is(err, kerr.SaslAuthenticationFailed) || errors.Is(err, kerr.UnsupportedSaslMechanism)
}

// stop makes Next return err.
func (c *Consumer) stop(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.fatal == nil {
		c.fatal = err
	}
	if c.wake != nil {
		c.wake()
	}
}
