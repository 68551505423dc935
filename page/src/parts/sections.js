import { byId } from "../dom.js";

/** Marks the section in view in the navigation. */
export function sections() {
  const links = new Map([...byId("sections").querySelectorAll("a")].map((link) => [link.hash.slice(1), link]));
  const seen = new Set();
  // The section in the upper part of the window counts as in view.
  const watch = new IntersectionObserver(
    (entries) => {
      for (const { target, isIntersecting } of entries) isIntersecting ? seen.add(target.id) : seen.delete(target.id);
      const current = [...links.keys()].find((id) => seen.has(id));
      for (const [id, link] of links) {
        if (id === current) link.setAttribute("aria-current", "true");
        else link.removeAttribute("aria-current");
      }
    },
    { rootMargin: "0px 0px -60% 0px" },
  );
  for (const id of links.keys()) watch.observe(byId(id));
}
