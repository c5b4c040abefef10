package demo

import (
	"context"
	"fmt"
	"net/url"
	"time"

	"github.com/omnibox-go/omnibox/store"
)

// settling is how long events may take to be settled once no more are written.
const settling = 10 * time.Second

// summarize compares the ledger with the topic, and says what held.
func (sh *show) summarize(ctx context.Context) (held bool, err error) {
	e, f, err := sh.gather(ctx)
	if err != nil {
		return false, err
	}
	sh.screen.title("Summary: the services' tables against what was read from Kafka")
	shop := sh.tell(f.promises(e))
	sh.screen.title("Billing: its invoices against the shop's orders")
	bill := sh.tell(f.billing(e))
	return shop && bill, nil
}

// tell shows promises, and says whether all were kept.
func (sh *show) tell(promises []promise) bool {
	held := true
	for _, p := range promises {
		if p.held {
			sh.screen.good("%s", p.text)
			continue
		}
		held = false
		sh.screen.bad("%s", p.text)
	}
	return held
}

// gather collects the evidence when everything is settled, or when time is up.
func (sh *show) gather(ctx context.Context) (e evidence, f findings, err error) {
	deadline := time.Now().Add(settling)
	err = poll(ctx, func(ctx context.Context) (bool, error) {
		e = evidence{deliveries: sh.topic.all(), replayed: sh.replayed, rolledBack: sh.rolledBack, noted: sh.audit.count(), lanes: sh.lanes}
		if e.ledger, err = sh.shop.ledger(ctx); err != nil {
			return false, err
		}
		if e.billed, err = sh.billed(ctx); err != nil {
			return false, err
		}
		f = check(e)
		return f.unsettled+f.lost+f.uninvoiced+f.unannounced == 0 || time.Now().After(deadline), nil
	})
	if tamper := sh.stack.options.tamper; tamper != nil && err == nil {
		tamper(&e)
		f = check(e)
	}
	return e, f, err
}

// stay keeps the shop open, slowly, and leaves a dead letter to play with.
func (sh *show) stay(ctx context.Context) error {
	return sh.whileOpen(ctx, time.Second/2, func(ctx context.Context) error {
		odd := sh.shop.buy(sh.shop.customer(20))
		odd.currency = "JPY"
		sh.screen.title("Still open, with two orders a second. Ctrl-C ends it.")
		sh.screen.say("An order in %s, which the step does not know either:", odd.currency)
		letter, err := sh.kill(ctx, odd)
		if err != nil {
			return err
		}
		sh.audit.learn(odd.currency)
		sh.screen.say("It is dead, and the step is mended now. To replay it yourself, in a second")
		sh.screen.say("terminal, in this folder:")
		sh.commands("status", "dead list", fmt.Sprintf("dead replay %d", letter.ID), "pause", "resume")
		sh.screen.say("Or ask its workflow to do it:")
		sh.signalCommand(letter)
		<-ctx.Done()
		return nil
	})
}

// showLetter shows a dead letter, in the main as the command line does.
func (sh *show) showLetter(l store.DeadLetter) {
	sh.screen.good("dead after %d attempts, and parked: its workflow waits for a person;", l.Attempts)
	sh.screen.say("later orders of the customer go on")
	sh.screen.say("  Dead letter %d of pipeline %s: %s", l.ID, l.Pipeline, l.State)
	sh.screen.fields([][2]string{
		{"event", l.EventID.String()},
		{"key", l.PartitionKey},
		{"type", l.EventType},
		{"died", l.LastAt.Local().Format(time.DateTime)},
		{"class", string(l.ErrorClass)},
		{"error", l.Error},
	})
}

// tellHowToReplay shows how a person does it.
func (sh *show) tellHowToReplay(l store.DeadLetter) {
	sh.screen.say("How a person looks at it, and puts it back:")
	sh.commands(fmt.Sprintf("dead show %d", l.ID), fmt.Sprintf("dead replay %d", l.ID))
	sh.screen.say("Or, in the UI or with Temporal's own command, by a signal to the workflow:")
	sh.signalCommand(l)
}

// signalCommand shows how Temporal's command asks for a replay.
func (sh *show) signalCommand(l store.DeadLetter) {
	sh.screen.command("temporal workflow signal --address " + sh.stack.temporal.Address() + ` --name replay \`)
	sh.screen.command(`  --input '{"by":"you"}' \`)
	sh.screen.command("  -w " + sh.stack.eventID(l.EventID))
}

// commands shows commands of the command line for another terminal. Passwords of
// other people's servers stay off the screen.
func (sh *show) commands(commands ...string) {
	database := sh.stack.databaseURL
	if sh.stack.options.DatabaseURL != "" {
		database = withoutPasswords(database)
	}
	sh.screen.command("export OMNIBOX_DATABASE_URL='" + database + "'")
	for _, c := range commands {
		sh.screen.command("go run ./cmd/omnibox " + c)
	}
}

// withoutPasswords has PASSWORD for each password in a URL.
func withoutPasswords(databaseURL string) string {
	const instead = "PASSWORD"
	u, err := url.Parse(databaseURL)
	if err != nil {
		return instead
	}
	if _, has := u.User.Password(); has {
		u.User = url.UserPassword(u.User.Username(), instead)
	}
	query := u.Query()
	for _, name := range []string{"password", "sslpassword"} {
		if query.Has(name) {
			query.Set(name, instead)
		}
	}
	u.RawQuery = query.Encode()
	return u.String()
}
