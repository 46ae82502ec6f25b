// The operations that the examples send, taken from their sources; for Relay from what its compiler wrote.
import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';

import {
  Kind,
  TypeInfo,
  concatAST,
  getNamedType,
  isInputObjectType,
  parse,
  print,
  visit,
  visitWithTypeInfo,
} from 'graphql';

import { defaultTabs } from '../graphiql/src/tabs.js';

/** How a text of GraphQL stands in a source, by the end of the file's name. */
const MARKS = {
  ts: /(?:\bgraphql\(\s*|\/\* GraphQL \*\/ )`([^`]*)`/g,
  py: /= """([^"]*)"""/g,
  sh: /'((?:query|mutation|subscription) [^']*)'/g,
};
/** The beginning of an operation; each has a name, as a server's log and a registry want it. */
const OPERATION = /(?:^|[`'"])\s*(?:query|mutation|subscription) (\w+)\s*[({@]/gm;

const FOLDERS = ['apollo/src', 'urql/src', 'node/src', 'shared', 'python', 'shell'];
const COMPILED = 'relay/src/__generated__';

const names = (definitions) =>
  definitions.filter(({ kind }) => kind === Kind.OPERATION_DEFINITION).map(({ name }) => name.value);

/** Without what a library takes out itself before it sends: gql.tada's marks of fragments. */
const asSent = (document) =>
  visit(document, { Directive: ({ name }) => (name.value === '_unmask' ? null : undefined) });

/** The definitions in each source of a folder. */
function definitionsIn(examples, folder) {
  const files = readdirSync(new URL(`${folder}/`, examples)).filter((name) => {
    const [, ending] = /\.(\w+)$/.exec(name) ?? [];
    return ending in MARKS && !/^test/.test(name);
  });
  return files.map((file) => {
    const source = readFileSync(new URL(`${folder}/${file}`, examples), 'utf8');
    const [stem, ending] = file.split('.');
    const texts = [...source.matchAll(MARKS[ending])].map(([, text]) => text);
    const definitions = texts.flatMap((text) => asSent(parse(text)).definitions);
    const wanted = [...source.matchAll(OPERATION)].map(([, name]) => name);
    assert.deepEqual(names(definitions).sort(), wanted.sort(), `the operations in ${folder}/${file}`);
    return { stem, definitions };
  });
}

/** The operations among the definitions, with the fragments of the example that they need. */
function withFragments(definitions, fragments) {
  const needed = new Map();
  const add = (node) =>
    visit(node, {
      FragmentSpread: ({ name: { value } }) => {
        if (needed.has(value)) return;
        needed.set(value, fragments.get(value));
        add(fragments.get(value));
      },
    });
  const operations = definitions.filter(({ kind }) => kind === Kind.OPERATION_DEFINITION);
  operations.forEach(add);
  return { kind: Kind.DOCUMENT, definitions: [...operations, ...needed.values()] };
}

/** All documents of the examples in a folder, by names such as `apollo/chat`. */
export function documentsOf(examples) {
  const documents = new Map();
  const keep = (name, document) => {
    if (names(document.definitions).length > 0) documents.set(name, `${print(document)}\n`);
  };
  for (const folder of FOLDERS) {
    const files = definitionsIn(examples, folder);
    const fragments = new Map(
      files.flatMap(({ definitions }) => definitions)
        .filter(({ kind }) => kind === Kind.FRAGMENT_DEFINITION)
        .map((fragment) => [fragment.name.value, fragment]),
    );
    const [example] = folder.split('/');
    for (const { stem, definitions } of files) {
      keep(`${example}/${stem}`, withFragments(definitions, fragments));
    }
  }
  keep('graphiql/tabs', concatAST(defaultTabs.map(({ query }) => parse(query))));
  for (const file of readdirSync(new URL(`${COMPILED}/`, examples))) {
    const source = readFileSync(new URL(`${COMPILED}/${file}`, examples), 'utf8');
    const text = /^ +"text": (".*")/m.exec(source)?.[1];
    if (text) keep(`relay/${file.split('.')[0]}`, parse(JSON.parse(text)));
  }
  return documents;
}

/** The coordinates of all that a document names of a schema. */
export function usedIn(text, schema) {
  const used = new Set();
  const types = new TypeInfo(schema);
  const field = () => `${types.getParentType()?.name}.${types.getFieldDef()?.name}`;
  const visitor = {
    NamedType: ({ name }) => void used.add(name.value),
    Field: () => void used.add(field()),
    Directive: ({ name }) => void used.add(`@${name.value}`),
    Argument: ({ name }) => {
      const directive = types.getDirective();
      used.add(`${directive ? `@${directive.name}` : field()}(${name.value}:)`);
    },
    ObjectField: ({ name }) => {
      const type = getNamedType(types.getParentInputType());
      if (isInputObjectType(type)) used.add(`${type.name}.${name.value}`);
    },
    EnumValue: ({ value }) => void used.add(`${getNamedType(types.getInputType())?.name}.${value}`),
  };
  visit(parse(text), visitWithTypeInfo(types, visitor));
  return used;
}
