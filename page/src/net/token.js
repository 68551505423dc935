// The token lives in this tab and nowhere else: it goes when the tab does.

const KEY = "pinflow.token";

export function token() {
  try {
    return sessionStorage.getItem(KEY) ?? "";
  } catch {
    return kept;
  }
}

export function keep(text) {
  kept = text;
  try {
    sessionStorage.setItem(KEY, text);
  } catch {
    // Without storage it lasts until the page is loaded anew.
  }
}

let kept = "";
