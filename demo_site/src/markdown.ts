// A model's answer is Markdown, and untrusted: it is parsed by marked and cleaned by DOMPurify.

import DOMPurify from "dompurify";
import { marked } from "marked";

// A model that writes HTML or links to a picture means text: show it as such, fetch nothing.
marked.use({
  gfm: true,
  breaks: true,
  renderer: {
    html: ({ text }) => escapeHtml(text),
    image: ({ raw }) => escapeHtml(raw),
  },
});

const ALLOWED = {
  ALLOWED_TAGS: [
    ..."p br hr strong em del code pre blockquote ul ol li a".split(" "),
    ..."h1 h2 h3 h4 h5 h6 table thead tbody tr th td sup sub".split(" "),
  ],
  ALLOWED_ATTR: ["href", "start", "align"],
  ALLOWED_URI_REGEXP: /^(?:https?|mailto):/i,
};

DOMPurify.addHook("afterSanitizeAttributes", (node) => {
  if (node.tagName === "A") {
    node.setAttribute("target", "_blank");
    node.setAttribute("rel", "noopener noreferrer");
  }
  // Long lines scroll inside the block; that must work from the keyboard too.
  if (node.tagName === "PRE") node.setAttribute("tabindex", "0");
});

/** Safe HTML for a Markdown text; never images, forms, styles or scripts. */
export function renderMarkdown(text: string): string {
  let html: string;
  try {
    html = marked.parse(text, { async: false });
  } catch {
    html = escapeHtml(text); // thousands of nested quotes are too deep for the stack
  }
  return DOMPurify.sanitize(html, ALLOWED);
}

function escapeHtml(text: string): string {
  return text.replace(/[&<>]/g, (c) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;" })[c] ?? c);
}
