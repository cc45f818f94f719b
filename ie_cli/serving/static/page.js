// The page of `ie serve`. Content from texts and models only becomes text nodes and attributes, never markup.
"use strict";

const STYLES = 32;
const DEPTH = 8;
const byId = (id) => document.getElementById(id);
let labels = [];
let modelShown = false; // whether the facts about the model have arrived

function element(tag, attributes = {}, ...children) {
  const created = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) created.setAttribute(name, value);
  created.append(...children.map((child) => (child instanceof Node ? child : document.createTextNode(child))));
  return created;
}

async function call(path, options = {}) {
  const headers = { ...options.headers };
  const token = byId("token").value;
  if (token) headers.Authorization = `Bearer ${token}`;
  const response = await fetch(path, { ...options, headers });
  const answer = await response.json().catch(() => ({ error: `status ${response.status}` }));
  if (response.status === 401) byId("token-row").hidden = false;
  if (!response.ok) throw new Error([answer.error, answer.hint ?? answer.id].filter(Boolean).join(": "));
  return answer;
}

function showMessage(text, isError = false) {
  byId("message").textContent = text;
  byId("message").className = isError ? "error" : "";
}

const style = (label) => {
  if (!labels.includes(label)) labels.push(label);
  return `c${labels.indexOf(label) % STYLES}`;
};
const score = (item) => (item.score === undefined ? "" : ` ${item.score.toFixed(4)}`);
const facts = (entity) => `${entity.label} ${entity.start}-${entity.end}${score(entity)}`;

// Like document/markup.py: marks are nested if entities nest and split if they cross; the label follows the last part.
function marked(text, entities) {
  const characters = Array.from(text); // offsets count code points
  const paragraph = element("p", { class: "text", dir: "auto" });
  const waiting = [...entities].sort((a, b) => a.start - b.start || b.end - a.end);
  const boundaries = new Set([0, characters.length, ...waiting.flatMap((entity) => [entity.start, entity.end])]);
  let stack = []; // entity and its open mark
  let from = 0;
  for (const boundary of [...boundaries].sort((a, b) => a - b)) {
    (stack.at(-1)?.mark ?? paragraph).append(characters.slice(from, boundary).join(""));
    const first = stack.findIndex(({ entity }) => entity.end === boundary);
    const closed = first < 0 ? [] : stack.splice(first);
    const opening = [];
    for (const { entity, mark } of closed) {
      if (entity.end === boundary) mark.dataset.label = entity.label;
      else opening.push(entity);
    }
    while (waiting.length && waiting[0].start === boundary) opening.push(waiting.shift());
    for (const entity of opening.slice(0, DEPTH - stack.length).sort((a, b) => b.end - a.end)) {
      const mark = element("mark", { class: style(entity.label), title: facts(entity) });
      (stack.at(-1)?.mark ?? paragraph).append(mark);
      stack.push({ entity, mark });
    }
    from = boundary;
  }
  return paragraph;
}

const mention = (entity) => element("bdi", { title: facts(entity) }, entity.text);

function items(record) {
  const entities = record.entities.map((entity) =>
    element("li", {}, element("b", {}, element("bdi", {}, entity.label)), " ", mention(entity), element("small", {}, score(entity))),
  );
  const relations = (record.relations ?? []).map((relation) =>
    element(
      "li", {}, mention(relation.subject), " ", element("b", {}, element("bdi", {}, relation.predicate)), " ",
      mention(relation.object), element("small", {}, score(relation)),
    ),
  );
  const pair = record.score === undefined ? [] : [
    element("li", {}, element("b", {}, element("bdi", {}, record.label ?? "")), " ", element("bdi", {}, record.text_pair), element("small", {}, score(record))),
  ];
  return element("ul", {}, ...pair, ...relations, ...entities);
}

async function extract(event) {
  event?.preventDefault();
  showMessage("…");
  try {
    if (!modelShown) await showModel();
    const pair = byId("pair").value;
    const second = !byId("pair-row").hidden && (pair || byId("pair").required) ? { text_pair: pair } : {};
    const record = await call("/predict", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ text: byId("text").value, ...second }),
    });
    byId("results").prepend(element("article", {}, marked(record.text, record.entities), items(record)));
    showMessage(record.entities.length || record.relations || record.score !== undefined ? "" : "nothing found");
  } catch (error) {
    showMessage(error.message, true);
  }
}

async function showModel() {
  const model = await call("/model");
  labels = model.labels;
  modelShown = true;
  byId("pair-row").hidden = model.text_pair === undefined;
  byId("pair").required = model.text_pair === "required";
  byId("name").textContent = model.name;
  const names = [...model.labels.map((name) => element("bdi", { class: style(name) }, name)), ...model.predicates.map((name) => element("bdi", {}, name))];
  byId("labels").replaceChildren(...names.flatMap((name) => [name, " "]));
  showMessage("");
}

byId("ask").addEventListener("submit", extract);
byId("text").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) byId("ask").requestSubmit();
});
showModel().catch((error) => showMessage(error.message, true));
