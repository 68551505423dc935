/**
 * Makes an element. Texts become text nodes and nothing else, whatever they hold.
 *
 * @param {string} tag
 * @param {Record<string, unknown>} [attributes] `on…` are listeners, `false` and `null` are left out, `true` is bare
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

/** An SVG element. */
export function s(tag, attributes = {}, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, String(value));
  element.append(...children.map(node));
  return element;
}

function node(child) {
  return child instanceof Node ? child : document.createTextNode(String(child));
}

/** The element of that id; the skeleton has all that are asked for. */
export function byId(id) {
  const found = document.getElementById(id);
  if (!found) throw new Error(`the page has no #${id}`);
  return found;
}

/** How much larger than usual the page is set: on a wall, and for whoever asks the browser for larger text. */
export const unit = () => Number.parseFloat(getComputedStyle(document.documentElement).fontSize) / 16;

/** Writes a text where it differs, so that nothing is announced or laid out twice. */
export function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}
