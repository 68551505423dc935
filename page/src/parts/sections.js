import { byId } from "../dom.js";

/** Marks, in the list of sections, the one that is being read. */
export function sections() {
  const links = new Map([...byId("sections").querySelectorAll("a")].map((link) => [link.hash.slice(1), link]));
  const seen = new Set();
  // What stands in the upper part of the window is what is read.
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
