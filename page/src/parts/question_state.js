import { h, setText } from "../dom.js";
import { stateMeaning, stateReason, stateWords } from "../text/question_state.js";
import { codeBlock } from "./code.js";

/**
 * The state of a question that is not live, or whose replacement is not: in words, with progress and reason. Hidden otherwise.
 *
 * @param {string} title of its answer
 */
export function questionState(title) {
  const [mark, words, bar] = [stateMark(), h("span", {}), progressBar(title)];
  const [means, reason, report] = [h("p", { class: "question-means" }), h("p", { class: "question-reason" }), codeBlock(`Problems of ${title}`)];
  const element = h("div", { class: "question-state" }, h("p", { class: "question-words" }, mark.element, words, bar.element), reason, report, means);
  element.hidden = true;
  return {
    element,
    /** @param {import("../state/questions.js").Entry | undefined} entry */
    update(entry) {
      const shown = entry && (entry.replacement ?? (entry.question.state === "live" ? null : entry.question));
      element.hidden = !shown;
      if (!shown) return;
      const replaces = entry.replacement !== null;
      const why = stateReason(shown);
      mark.update(shown.state);
      setText(words, replaces ? `Replacement: ${stateWords(shown)}` : sentenceStart(stateWords(shown)));
      bar.update(shown);
      setText(reason, why.words);
      setText(report, why.report);
      report.hidden = why.report === "";
      setText(means, replaces && entry.question.state === "live" ? "The answer below is that of the question as it was. The two are exchanged when the replacement is complete." : stateMeaning(shown));
    },
  };
}

/** A mark before the words. Its shape differs by state, not only its colour. */
export function stateMark() {
  const element = h("span", { class: "question-mark", "aria-hidden": "true" });
  return { element, update: (state) => element.dataset.state === state || (element.dataset.state = state) };
}

/** How far a question has filled. Hidden unless it fills. */
export function progressBar(title) {
  const element = h("progress", { max: "1", "aria-label": `Progress of ${title}` });
  return {
    element,
    update({ state, progress }) {
      element.hidden = state !== "filling";
      if (typeof progress === "number") element.value = progress;
      else element.removeAttribute("value");
    },
  };
}

export const sentenceStart = (text) => text.charAt(0).toUpperCase() + text.slice(1);
