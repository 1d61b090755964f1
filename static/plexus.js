// The glue that htmx's attributes leave: local times, and when not to refresh.
"use strict";

document.documentElement.classList.add("script");

const two = (number) => String(number).padStart(2, "0");

// Times arrive in UTC; show them as the reader's clock does.
function localise(root) {
  for (const time of root.querySelectorAll("time[datetime]")) {
    const at = new Date(time.dateTime);
    time.querySelector(".clock").textContent =
      `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
    time.querySelector(".day").textContent =
      `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())}`;
    time.title = at.toString();
  }
  for (const zone of root.querySelectorAll(".zone")) zone.hidden = true;
  // A reverse proxy's prefix is known here only.
  for (const base of root.querySelectorAll("[data-base-url]")) {
    base.textContent = new URL("..", location.href).href.replace(/\/$/, "");
  }
}

function isBeingSelected(element) {
  const selection = getSelection();
  return !selection.isCollapsed && selection.containsNode(element, true);
}

function say(text, isProblem) {
  const live = document.getElementById("live");
  if (live && live.textContent !== text) {
    live.textContent = text;
    live.classList.toggle("is-lost", isProblem);
  }
}

document.addEventListener("DOMContentLoaded", () => localise(document.body));
document.addEventListener("htmx:afterSwap", (event) => localise(event.detail.elt));

// Nobody looks, or somebody marks text to copy: leave the rows as they are.
document.addEventListener("htmx:beforeRequest", (event) => {
  const { elt } = event.detail;
  if (elt.matches("[data-live]") && (document.hidden || isBeingSelected(elt))) {
    event.preventDefault();
  }
});
document.addEventListener("visibilitychange", () => {
  if (document.hidden) return;
  for (const part of document.querySelectorAll("[data-live]")) htmx.trigger(part, "refresh");
});

document.addEventListener("htmx:afterRequest", (event) => {
  if (event.detail.successful) say("Live", false);
});
for (const failure of ["htmx:responseError", "htmx:sendError", "htmx:timeout"]) {
  document.addEventListener(failure, () => say("Connection lost, trying again…", true));
}
