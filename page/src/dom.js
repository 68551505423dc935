/**
 * Creates an element. Text children become text nodes, so no text is parsed as HTML.
 *
 * @param {string} tag
 * @param {Record<string, unknown>} [attributes] `on…` are listeners, `false` and `null` are omitted, `true` sets an empty attribute
 * @param {...(Node | string | number | null | false)} children
 */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), /** @type {EventListener} */ (value));
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.filter((child) => child !== null && child !== false).map(node));
  return element;
}

/** Creates an SVG element. */
export function s(tag, attributes = {}, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, String(value));
  element.append(...children.map(node));
  return element;
}

function node(child) {
  return child instanceof Node ? child : document.createTextNode(String(child));
}

/** The element with this id, which must exist. */
export function byId(id) {
  const found = document.getElementById(id);
  if (!found) throw new Error(`the page has no #${id}`);
  return found;
}

/** The page's font size relative to 16 px: larger on large screens and with large browser fonts. */
export const unit = () => Number.parseFloat(getComputedStyle(document.documentElement).fontSize) / 16;

/** Sets the text only if it differs, so that screen readers do not announce it again. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}
