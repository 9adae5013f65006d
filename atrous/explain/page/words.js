/* Labels in the reader's language; a missing one shows its key, which tests look for. */
const Words = (() => {
  const LANGUAGES = ["en", "zh", "ko"];
  const labels = JSON.parse(document.getElementById("labels").textContent);
  let language = "en";

  function say(key, values = {}) {
    const label = labels[language][key] ?? labels.en[key] ?? key;
    return label.replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole);
  }

  /** Fill every element that names a label: its text, its hint, its spoken name. */
  function fill(root = document) {
    for (const [attribute, property] of [
      ["say", null],
      ["hint", "title"],
      ["speak", "aria-label"],
    ]) {
      root.querySelectorAll(`[data-${attribute}]`).forEach((element) => {
        const text = say(element.dataset[attribute]);
        if (property) element.setAttribute(property, text);
        else element.textContent = text;
      });
    }
  }

  function choose(wanted) {
    language = LANGUAGES.includes(wanted) ? wanted : "en";
    document.documentElement.lang = language;
    fill();
  }

  /** The language of the browser, if the page speaks it. */
  const preferred = () =>
    LANGUAGES.find((one) => navigator.language.startsWith(one)) ?? "en";

  return {
    say,
    fill,
    choose,
    preferred,
    get language() {
      return language;
    },
  };
})();
