package inbox

// hand is a goroutine that calls the user's code, one call after the other, so
// that its stack grows once and not for each message.
type hand chan func()

// hands are those of one call of Handle that have nothing to do.
type hands chan hand

func newHands(most int) hands { return make(hands, most) }

// take gives a hand that is idle, or a new one. Whoever has it gives it back, or
// drops it.
func (all hands) take() hand {
	select {
	case h := <-all:
		return h
	default:
	}
	h := make(hand)
	go func() {
		for work := range h {
			work()
		}
	}()
	return h
}

// giveBack takes a hand that has returned from its last call.
func (all hands) giveBack(h hand) { all <- h }

// drop leaves a hand alone that has not returned from its call, or never will: it
// ends if it does.
func (h hand) drop() { close(h) }

// end ends the idle ones.
func (all hands) end() {
	for {
		select {
		case h := <-all:
			close(h)
		default:
			return
		}
	}
}
