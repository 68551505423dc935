import { ago, number } from "./format.js";
import { withCount } from "./words.js";

/**
 * What the last verification found, in words. Null before the first one.
 *
 * @param {{verified_at: string, epoch: number, equal: number, different: number, skipped: number, different_answers: string[]} | null} verification
 * @param {number} now milliseconds since 1970, by the server's clock
 * @returns {{words: string, isWrong: boolean} | null}
 */
export function verificationWords(verification, now) {
  if (!verification) return null;
  const { epoch, equal, different, skipped, different_answers: names } = verification;
  const when = `, ${ago(Math.max(0, now - Date.parse(verification.verified_at)))}, as of epoch ${number(epoch)}`;
  const passed = skipped > 0 ? `. ${withCount(skipped, "answer", number(skipped))} skipped` : "";
  if (different > 0) {
    const wrong = `Verified${when}: ${withCount(different, "answer", number(different))} ${different === 1 ? "differs" : "differ"} from the tables: ${names.join(", ")}`;
    return { words: `${wrong}. ${number(equal)} equal${passed}.`, isWrong: true };
  }
  return { words: `Verified${when}: ${withCount(equal, "answer", number(equal))} ${equal === 1 ? "equals" : "equal"} the tables${passed}.`, isWrong: false };
}
