// The token is kept in this tab's session storage only.

const KEY = "pinflow.token";

export function storedToken() {
  try {
    return sessionStorage.getItem(KEY) ?? "";
  } catch {
    return kept;
  }
}

export function storeToken(text) {
  kept = text;
  try {
    sessionStorage.setItem(KEY, text);
  } catch {
    // Without storage the token is lost at reload.
  }
}

let kept = "";
