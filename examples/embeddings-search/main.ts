import { Engine } from "webbuild";
import { type Search, searchOf } from "./search.js";

const list = document.querySelector("ol") as HTMLOListElement;
const button = document.querySelector("#search button") as HTMLButtonElement;
const problem = document.querySelector("[role=alert]") as HTMLParagraphElement;
let engine: Engine | undefined;
let search: Search | undefined;

/** Does this with a form's fields when it is sent; an error is shown. */
function onSubmit(selector: string, work: (field: (name: string) => string) => Promise<void>) {
  const form = document.querySelector(selector) as HTMLFormElement;
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    problem.textContent = "";
    list.replaceChildren();
    try {
      await work((name) => String(new FormData(form).get(name)));
    } catch (error) {
      problem.textContent = String(error);
    }
  });
}

onSubmit("#index", async (field) => {
  button.disabled = true;
  await engine?.unload();
  engine = await Engine.load(field("pack"));
  const lines = field("texts").split("\n");
  search = await searchOf(
    engine,
    lines.filter((line) => line.trim()),
  );
  button.disabled = false;
});

onSubmit("#search", async (field) => {
  const found = (await search?.(field("query"))) ?? [];
  for (const { text, similarity } of found) {
    const item = document.createElement("li");
    item.append(text, ` (${similarity.toFixed(3)})`);
    list.append(item);
  }
});
