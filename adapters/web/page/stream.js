// One open conversation: its event stream, kept open through restarts of the server and sleeps of the laptop.

import { key, listen, Refusal } from "./api.js";

const SILENCE_MS = 35_000; // the server says something every 10 s

export class Stream {
  /** `on` holds functions by event name, and `state(connected)`. */
  constructor(path, on) {
    this.path = path;
    this.on = on;
    this.closed = false;
    this.run();
  }

  close() {
    this.closed = true;
    this.controller?.abort();
  }

  /** Drop the connection and open it again. */
  refresh() {
    this.resting = false;
    this.fresh = true;
    this.controller?.abort();
    this.wake?.();
  }

  /** Drop the connection until `refresh`: browsers allow six to one server, over all tabs. */
  rest() {
    this.resting = true;
    this.controller?.abort();
  }

  async run() {
    for (let failures = 0; !this.closed; ) {
      this.fresh = false;
      this.controller = new AbortController();
      const watchdog = () => setTimeout(() => this.controller.abort(), SILENCE_MS);
      let timer = watchdog();
      try {
        for await (const { event, data } of listen(this.path, this.controller.signal)) {
          clearTimeout(timer);
          timer = watchdog();
          if (this.closed) break;
          if (event === "snapshot") {
            failures = 0;
            this.on.state(true);
          }
          this.on[event]?.(data);
        }
      } catch (error) {
        if (error instanceof Refusal && error.status === 401 && error.key === key.get()) {
          this.on.refused(error);
          return;
        }
      } finally {
        clearTimeout(timer);
      }
      if (this.closed || this.fresh) continue;
      if (this.resting) {
        await new Promise((resolve) => (this.wake = resolve));
        continue;
      }
      failures += 1;
      if (failures > 1) this.on.state(false);
      await this.pause(Math.min(300 * 2 ** failures, 8000) * (0.7 + 0.6 * Math.random()));
    }
  }

  pause(ms) {
    return new Promise((resolve) => {
      this.wake = resolve;
      setTimeout(resolve, ms);
    });
  }
}
