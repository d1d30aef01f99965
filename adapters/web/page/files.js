// What was sent along with a question: thumbnails, voice clips that can be played, names of everything else.

import { download } from "./api.js";
import { icon, make, toast } from "./dom.js";

const PICTURES = new Set(["image/png", "image/jpeg", "image/gif", "image/webp", "image/avif", "image/bmp"]);
const SOUNDS = /^(audio\/|video\/(webm|mp4))/;

/** The element for one attachment; its bytes are fetched when it comes into view, or when it is played. */
export function attached({ ref, name, mime = "", kind = "" }) {
  if (ref && PICTURES.has(mime)) return thumbnail(ref, name, mime);
  if (ref && (kind === "audio" || SOUNDS.test(mime))) return player(ref, name, mime);
  return make("span", {}, name);
}

/** fetch adds the key, which an <img> could not send; so bytes become an address of this page's own. */
async function address(ref, mime) {
  const bytes = await download(`/page/files/${ref}`);
  return URL.createObjectURL(new Blob([bytes], { type: mime }));
}

const seen = new IntersectionObserver((entries) => {
  for (const { isIntersecting, target } of entries) {
    if (!isIntersecting) continue;
    seen.unobserve(target);
    target.load();
  }
});

function thumbnail(ref, name, mime) {
  const picture = make("img", { class: "thumb", alt: name, title: name });
  picture.load = async () => {
    try {
      picture.src = await address(ref, mime);
    } catch {
      picture.replaceWith(make("span", {}, name)); // it is no longer kept; its name is what is left
    }
  };
  seen.observe(picture);
  return picture;
}

function player(ref, name, mime) {
  const button = make("button", { class: "clip", type: "button", title: name }, icon("play"), name);
  button.addEventListener("click", async () => {
    try {
      const sound = make("audio", { controls: true, src: await address(ref, mime) });
      button.replaceWith(sound);
      await sound.play();
    } catch (error) {
      toast(error.message);
    }
  });
  return button;
}
