import { Engine } from "webbuild";
import * as z from "zod";
import { extract } from "./extract.js";

const Person = z.object({
  name: z.string(),
  age: z.int().min(0).max(150),
  city: z.string(),
});

const form = document.querySelector("form") as HTMLFormElement;
const output = document.querySelector("output") as HTMLOutputElement;
const problem = document.querySelector("[role=alert]") as HTMLParagraphElement;
const loading = Engine.load("/packs/demo/");
loading.catch(show);

function show(error: unknown) {
  problem.textContent = String(error);
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  output.textContent = problem.textContent = "";
  try {
    const text = String(new FormData(form).get("text"));
    const { name, age, city } = await extract(await loading, Person, text);
    output.textContent = `${name} of ${city} will be ${age + 1} next year.`;
  } catch (error) {
    show(error);
  }
});
