// Shows openapi.json as a page. Everything is made of text nodes: what the document says is never run.
'use strict';

let doc;

// make gives an element; children are elements or text.
function make(name, attributes, ...children) {
  const e = document.createElement(name);
  for (const [k, v] of Object.entries(attributes)) e.setAttribute(k, v);
  e.append(...children.filter((c) => c !== null && c !== undefined && c !== ''));
  return e;
}

function resolve(v) {
  while (v && v.$ref) v = v.$ref.slice(2).split('/').reduce((at, name) => at[name], doc);
  return v;
}

const refName = (v) => (v && v.$ref ? v.$ref.split('/').pop() : '');

// rich gives a description, with `code` in it as such.
function rich(text) {
  const p = make('span', {});
  (text || '').trim().split(/(`[^`]*`)/).forEach((part) => {
    p.append(part.startsWith('`') && part.length > 1 ? make('code', {}, part.slice(1, -1)) : part);
  });
  return p;
}

function kindOf(s) {
  if (s.const !== undefined) return JSON.stringify(s.const);
  if (s.enum) return s.enum.join(' | ');
  if (s.oneOf) return s.oneOf.map((one) => refName(one) || kindOf(resolve(one))).join(' or ');
  if (s.type === 'array' || (Array.isArray(s.type) && s.type.includes('array'))) return 'list of ' + (refName(s.items) || kindOf(resolve(s.items || {})));
  const kind = Array.isArray(s.type) ? s.type.join(' or ') : s.type || 'anything';
  return s.format ? `${kind} (${s.format})` : kind;
}

// schema shows a schema; one that has a name is only named, and stands at the end of the page.
function schema(s, top) {
  const name = refName(s);
  if (name && !top) return make('a', { href: '#schema-' + name, class: 'kind' }, name);
  s = resolve(s);
  const kind = kindOf(s);
  const told = kind === 'anything' && s.description ? '' : make('span', { class: 'kind' }, kind); // the description says more
  const box = make('div', { class: 'schema' }, told, ' ', rich(s.description));
  const fields = s.properties || (s.items && !s.items.$ref && s.items.properties);
  const required = s.required || (s.items && s.items.required) || [];
  if (!fields) return box;
  const list = make('ul', {});
  for (const [field, inner] of Object.entries(fields)) {
    list.append(make('li', {}, make('code', {}, field), ' ', make('span', { class: 'required' }, required.includes(field) ? 'required ' : ''), schema(inner, false)));
  }
  box.append(list);
  return box;
}

function table(head, rows) {
  if (rows.length === 0) return null;
  return make('table', {}, make('tr', {}, ...head.map((h) => make('th', {}, h))), ...rows.map((r) => make('tr', {}, ...r.map((cell) => make('td', {}, cell)))));
}

function parameters(item, operation) {
  const all = [...(item.parameters || []), ...(operation.parameters || [])].map(resolve);
  return table(['Parameter', 'In', 'What'], all.map((p) => [
    make('code', {}, p.name), p.in + (p.required ? ', required' : ''), make('span', {}, make('span', { class: 'kind' }, kindOf(resolve(p.schema))), ' ', rich(p.description)),
  ]));
}

function contents(content) {
  const rows = Object.entries(content || {}).map(([media, c]) => make('div', {}, make('code', {}, media), ' ', c.schema ? schema(c.schema, false) : ''));
  return make('div', {}, ...rows);
}

function responses(operation) {
  return table(['Status', 'Meaning', 'Body'], Object.entries(operation.responses).map(([status, r]) => {
    r = resolve(r);
    const headers = Object.keys(r.headers || {});
    return [make('code', {}, status), make('span', {}, rich(r.description), headers.length ? ` Headers: ${headers.join(', ')}.` : ''), contents(r.content)];
  }));
}

function operation(path, method, item) {
  const o = item[method];
  const id = `${method}-${path}`;
  const body = o.requestBody ? make('div', {}, make('h4', {}, 'Body'), contents(o.requestBody.content)) : null;
  return [id, make('details', { id },
    make('summary', {}, make('span', { class: 'method ' + method }, method.toUpperCase()), make('code', {}, path), make('span', { class: 'title' }, o.summary || '')),
    make('div', {}, make('p', {}, rich(o.description)), parameters(item, o), body, make('h4', {}, 'Answers'), responses(o)))];
}

function show() {
  const main = document.getElementById('main');
  const nav = make('ul', {});
  main.replaceChildren(make('p', {}, rich(doc.info.description)));
  for (const tag of doc.tags) {
    main.append(make('h2', {}, tag.name), make('p', {}, rich(tag.description)));
    for (const [path, item] of Object.entries(doc.paths)) {
      for (const method of ['get', 'head', 'post', 'put', 'delete']) {
        if (!item[method] || !item[method].tags.includes(tag.name) || (method === 'head' && JSON.stringify(item.head) === JSON.stringify(item.get))) continue;
        const [id, element] = operation(path, method, item);
        main.append(element);
        nav.append(make('li', {}, make('a', { href: '#' + id }, `${method.toUpperCase()} ${path}`)));
      }
    }
  }
  main.append(make('h2', {}, 'schemas'));
  for (const [name, s] of Object.entries(doc.components.schemas)) {
    main.append(make('details', { id: 'schema-' + name }, make('summary', {}, make('code', {}, name)), make('div', {}, schema(s, true))));
  }
  document.getElementById('contents').replaceChildren(nav);
}

// unfold opens what the address points at.
function unfold() {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (target && target.tagName === 'DETAILS') {
    target.open = true;
    target.scrollIntoView();
  }
}

fetch('/openapi.json')
  .then((r) => r.json())
  .then((d) => { doc = d; show(); unfold(); window.addEventListener('hashchange', unfold); })
  .catch((err) => { document.getElementById('main').textContent = `The document could not be shown: ${err}`; });
