// A voice clip from the microphone: the browser's own recorder, in whatever container it has.

import { byId, icon, toast } from "./dom.js";

const LONGEST_S = 10 * 60;
const TYPES = ["audio/webm;codecs=opus", "audio/mp4", "audio/ogg;codecs=opus"];

const WHY = {
  NotAllowedError: "This page may not use the microphone. Allow it beside the address and try again.",
  NotFoundError: "No microphone was found.",
  NotReadableError: "Another program is using the microphone.",
};

export class Recorder {
  /** `clip(file)` gets what was recorded; `changed()` is called when recording begins and ends. */
  constructor({ clip, changed }) {
    this.clip = clip;
    this.changed = changed;
    this.media = null;
    this.starting = false;
    this.button = byId("record");
    this.time = byId("recorded");
    this.discard = byId("discard");
    this.button.append(icon("microphone"));
    this.discard.append(icon("close"));
    this.button.addEventListener("click", () => (this.recording ? this.stop() : this.start()));
    this.discard.addEventListener("click", () => this.stop({ keep: false }));
  }

  /** Whether this browser can record here: only secure contexts have a microphone. */
  static get possible() {
    return !!(navigator.mediaDevices?.getUserMedia && window.MediaRecorder);
  }

  get recording() {
    return this.media?.state === "recording";
  }

  async start() {
    if (this.starting) return;
    this.starting = true;
    let stream;
    try {
      stream = await navigator.mediaDevices.getUserMedia({ audio: true });
    } catch (error) {
      toast(WHY[error.name] ?? "The microphone cannot be used here.");
      return;
    } finally {
      this.starting = false;
    }
    const type = TYPES.find((each) => MediaRecorder.isTypeSupported(each)) ?? "";
    const media = new MediaRecorder(stream, type ? { mimeType: type } : {});
    const pieces = [];
    this.media = media;
    this.keep = true;
    media.addEventListener("dataavailable", (event) => event.data.size && pieces.push(event.data));
    media.addEventListener("stop", () => {
      stream.getTracks().forEach((track) => track.stop());
      this.show(false);
      const kind = (media.mimeType || "audio/webm").split(";")[0];
      if (this.keep && pieces.length) {
        const ending = kind.split("/")[1] === "mp4" ? "m4a" : kind.split("/")[1];
        this.clip(new File(pieces, `voice-clip.${ending}`, { type: kind }));
      }
      this.changed();
    });
    media.start(1000);
    this.began = performance.now();
    this.show(true);
    this.changed();
  }

  stop({ keep = true } = {}) {
    if (!this.recording) return;
    this.keep = keep;
    this.media.stop();
  }

  show(on) {
    this.button.classList.toggle("on", on);
    this.button.setAttribute("aria-pressed", on);
    this.button.title = on ? "Stop recording" : "Record a voice clip";
    this.button.setAttribute("aria-label", this.button.title);
    this.time.hidden = this.discard.hidden = !on;
    clearInterval(this.ticking);
    if (on) this.ticking = setInterval(() => this.tick(), 250);
    this.tick();
  }

  tick() {
    const seconds = this.recording ? Math.floor((performance.now() - this.began) / 1000) : 0;
    this.time.textContent = clock(seconds);
    if (seconds >= LONGEST_S) this.stop();
  }
}

/** 75 -> "1:15" */
export const clock = (seconds) => `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, "0")}`;
