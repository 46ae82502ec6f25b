// Each kind of change to a schema, and what is said of it.
import assert from 'node:assert/strict';
import test from 'node:test';

import { buildSchema } from 'graphql';

import { brokenSince, compare, newest, partsOf } from './compatibility.mjs';

const SDL = `
  directive @cost(points: Int! = 1, per: String) on FIELD_DEFINITION | OBJECT
  type Query {
    me: User
    users(first: Int = 50, search: String): [User!]!
    position(at: Position): Int
    found: [Found!]!
    extra: Extra
    old(by: OldInput, mode: OldMode): OldPage @deprecated(reason: "Use users.")
  }
  type Mutation { send(input: SendInput!, silently: Boolean, mode: Int @deprecated(reason: "No use.")): User }
  type Subscription { added: User! }
  interface Node { id: ID! }
  interface Named { name: String! }
  type User implements Node & Named { id: ID! name: String! about: String tags: [String!]! role: Role! }
  type Chat implements Node { id: ID! }
  type Extra { x: Int }
  type OldPage { all: [OldEdge!]! }
  type OldEdge { cursor: String }
  input OldInput { name: String }
  enum OldMode { A }
  union Found = User | Chat
  enum Role { OWNER MEMBER GUEST @deprecated(reason: "None is.") }
  input SendInput { text: String! quiet: Boolean = false size: Int color: Int @deprecated(reason: "No use.") }
  input Position @oneOf { a: String b: String }
  scalar DateTime @specifiedBy(url: "https://a.example")
`;
const build = (sdl) => buildSchema(sdl);
const before = build(SDL);

/** The schema with some texts of its SDL replaced. */
function changed(edits) {
  let sdl = SDL;
  for (const [from, to] of edits) {
    assert.equal(sdl.split(from).length, 2, `"${from}" stands once`);
    sdl = sdl.replace(from, () => to);
  }
  return build(sdl);
}
const of = (list) => list.map(({ coordinate }) => coordinate).sort();

// Each by one or more edits, and the coordinates that are complained of.
const REFUSED = [
  ['a type goes', ['Extra'], [['extra: Extra', 'extra: Int'], ['type Extra { x: Int }', '']], ['Query.extra']],
  ['a type is renamed', ['Extra'], [['extra: Extra', 'extra: More'], ['type Extra {', 'type More {']], ['Query.extra']],
  ['a type becomes another kind', ['Extra'], [['type Extra {', 'interface Extra {']]],
  ['a field goes', ['User.about'], [['about: String', '']]],
  ['a field is renamed', ['User.about'], [['about: String', 'biography: String']]],
  ['a field has another type', ['User.about'], [['about: String', 'about: Int']]],
  ['a field may be null', ['User.name'], [['name: String! about', 'name: String about'], ['interface Named { name: String! }', 'interface Named { name: String }']], ['Named.name']],
  ['an item of a list may be null', ['User.tags'], [['[String!]!', '[String]!']]],
  ['a field is no longer a list', ['User.tags'], [['[String!]!', 'String!']]],
  ['an event may be null', ['Subscription.added'], [['added: User!', 'added: User']]],
  ['an argument goes', ['Query.users(search:)'], [['search: String', '']]],
  ['an argument is renamed', ['Query.users(search:)'], [['search: String', 'name: String']]],
  ['an argument is required', ['Mutation.send(silently:)'], [['silently: Boolean', 'silently: Boolean!']]],
  ['an argument has another type', ['Query.users(search:)'], [['search: String', 'search: Int']]],
  ['a required argument comes', ['Query.users(by:)'], [['search: String', 'search: String, by: Int!']]],
  ['an argument has another default', ['Query.users(first:)'], [['first: Int = 50', 'first: Int = 20']]],
  ['an argument has no default', ['Query.users(first:)'], [['first: Int = 50', 'first: Int']]],
  ['an argument gets a default', ['Query.users(search:)'], [['search: String', 'search: String = "a"']]],
  ['an input field goes', ['SendInput.size'], [['size: Int', '']]],
  ['an input field is required', ['SendInput.size'], [['size: Int', 'size: Int!']]],
  ['a required input field comes', ['SendInput.kind'], [['size: Int', 'size: Int kind: Int!']]],
  ['an input field has another default', ['SendInput.quiet'], [['quiet: Boolean = false', 'quiet: Boolean = true']]],
  ['an input becomes one of several', ['OldInput'], [['input OldInput {', 'input OldInput @oneOf {']]],
  ['an enum value goes', ['Role.MEMBER'], [['OWNER MEMBER', 'OWNER']]],
  ['an enum value is renamed', ['Role.MEMBER'], [['OWNER MEMBER', 'OWNER PLAIN']]],
  ['a member of a union goes', ['Found'], [['User | Chat', 'User']]],
  ['an interface of a type goes', ['User'], [['implements Node & Named', 'implements Node']]],
  ['a directive goes', ['@cost'], [['directive @cost(points: Int! = 1, per: String) on FIELD_DEFINITION | OBJECT', '']]],
  ["a directive's argument goes", ['@cost(per:)'], [[', per: String', '']]],
  ["a directive's argument has another default", ['@cost(points:)'], [['points: Int! = 1', 'points: Int! = 2']]],
  ["a directive's place goes", ['@cost'], [['FIELD_DEFINITION | OBJECT', 'FIELD_DEFINITION']]],
  ['a root goes', ['Subscription', 'Subscription'], [['type Subscription { added: User! }', '']]],
];

for (const [name, coordinates, edits, also = []] of REFUSED) {
  test(`refused: ${name}`, async () => {
    const after = changed(edits);
    const wanted = [...coordinates, ...also].sort();
    assert.deepEqual(of((await compare(before, after)).refused), wanted);
    // It is let through where the change log names it, and not where it names something else.
    const named = await compare(before, after, new Set(wanted));
    assert.deepEqual(named.refused, []);
    assert.deepEqual(of(named.excused), wanted);
    const others = await compare(before, after, new Set(['Query.me']));
    assert.deepEqual(of(others.refused), wanted);
  });
}

const EXCUSED = [
  ['a deprecated field goes, and the types that only it led to', ['Query.old', 'OldEdge', 'OldInput', 'OldMode', 'OldPage'], [
    ['old(by: OldInput, mode: OldMode): OldPage @deprecated(reason: "Use users.")', ''],
    ['type OldPage { all: [OldEdge!]! }', ''],
    ['type OldEdge { cursor: String }', ''],
    ['input OldInput { name: String }', ''],
    ['enum OldMode { A }', ''],
  ]],
  ['an argument of a deprecated field goes', ['Query.old(mode:)'], [[', mode: OldMode', '']]],
  ['a deprecated argument goes', ['Mutation.send(mode:)'], [[', mode: Int @deprecated(reason: "No use.")', '']]],
  ['a deprecated input field goes', ['SendInput.color'], [['color: Int @deprecated(reason: "No use.")', '']]],
  ['a deprecated enum value goes', ['Role.GUEST'], [['GUEST @deprecated(reason: "None is.")', '']]],
];

for (const [name, coordinates, edits] of EXCUSED) {
  test(`let through: ${name}`, async () => {
    const { refused, excused } = await compare(before, changed(edits));
    assert.deepEqual(refused, []);
    assert.deepEqual(of(excused), [...coordinates].sort());
  });
}

test('refused: a type goes that a client can name in a fragment', async () => {
  const sdl = 'interface Node { id: ID! } type Query { node: Node old: Chat @deprecated(reason: "Gone.") }';
  const chat = ' type Chat implements Node { id: ID! } type User implements Node { id: ID! }';
  const after = build('interface Node { id: ID! } type Query { node: Node } type User implements Node { id: ID! }');
  const { refused, excused } = await compare(build(sdl + chat), after);
  assert.deepEqual(of(refused), ['Chat']);
  assert.deepEqual(of(excused), ['Query.old']);
});

test('refused: a field goes that is deprecated only now', async () => {
  const deprecated = changed([['about: String', 'about: String @deprecated(reason: "No use.")']]);
  const gone = changed([['about: String', '']]);
  assert.deepEqual(await compare(before, deprecated), { refused: [], excused: [], told: [] });
  assert.deepEqual(of((await compare(before, gone)).refused), ['User.about']);
  assert.deepEqual(of((await compare(deprecated, gone)).excused), ['User.about']);
});

const TOLD = [
  ['an enum value comes', ['Role.BOT'], [['OWNER MEMBER', 'OWNER MEMBER BOT']]],
  ['a member of a union comes', ['Found'], [['User | Chat', 'User | Chat | Extra']]],
  ['a type gets an interface', ['Extra'], [['type Extra { x: Int }', 'type Extra implements Node { id: ID! x: Int }']]],
  ['an optional argument comes', ['Query.users(by:)'], [['search: String', 'search: String, by: Int']]],
  ['an input field with a default comes', ['SendInput.kind'], [['size: Int', 'size: Int kind: Int! = 1']]],
  ['a scalar is specified elsewhere', ['DateTime'], [['https://a.example', 'https://b.example']]],
];

for (const [name, coordinates, edits] of TOLD) {
  test(`told: ${name}`, async () => {
    const { refused, excused, told } = await compare(before, changed(edits));
    assert.deepEqual([refused, excused], [[], []]);
    assert.deepEqual(of(told), coordinates);
  });
}

const FINE = [
  ['a field comes', [['about: String', 'about: String age: Int']]],
  ['a field is never null', [['about: String', 'about: String!']]],
  ['an optional input field comes', [['size: Int', 'size: Int kind: Int']]],
  ['an input field is optional', [['text: String!', 'text: String']]],
  ['a type comes', [['type Extra {', 'type Other { y: Int } type Extra {']]],
  ['a field is deprecated', [['about: String', 'about: String @deprecated(reason: "No use.")']]],
  ['a description changes', [['type Extra {', '"More." type Extra {']]],
];

for (const [name, edits] of FINE) {
  test(`fine: ${name}`, async () => {
    assert.deepEqual(await compare(before, changed(edits)), { refused: [], excused: [], told: [] });
  });
}

test('the change log names what is broken since a release, in one form', () => {
  const after = changed([['about: String', 'biography: String']]);
  const log = (entries, version = '1.2.0') => `# Changelog

## Unreleased

### Added
- \`Query.me\`: not this one.

### Breaking
${entries}

### Fixed
- \`Query.users\`: nor this one.

## [${version}] - 2030-01-01

### Breaking
- \`User.name\`: of a release before.
`;
  const broken = (...args) => [...brokenSince(log(...args), '1.2.0', before, after)];
  assert.deepEqual(broken('- `User.about`: use `User.biography`.'), ['User.about']);
  assert.deepEqual(
    broken('- `Query.users(first:)`: is 20.\n- `@cost`: none uses it,\n  not even we.\n- `User.biography`: new.'),
    ['Query.users(first:)', '@cost', 'User.biography'],
  );
  for (const [entry, complaint] of [
    ['- User.about: use another.', /form/],
    ['- `User.about` use another.', /form/],
    ['- `User.about`:', /form/],
    ['- `User.abuot`: use another.', /no schema has `User.abuot`/],
    ['- `Query.users(first)`: is 20.', /no schema has/],
  ]) {
    assert.throws(() => broken(entry), complaint, entry);
  }
  assert.throws(() => broken('', '1.20.0'), /no section of 1\.2\.0/);
  assert.deepEqual(broken(''), []);
});

test('all parts of a schema have coordinates', () => {
  const parts = partsOf(before);
  for (const coordinate of ['User', 'User.name', 'Query.users(first:)', 'SendInput.text', 'Role.OWNER', '@cost(per:)']) {
    assert.ok(parts.has(coordinate), coordinate);
  }
  assert.ok(parts.get('Role.GUEST').isDeprecated && !parts.get('Role.OWNER').isDeprecated);
  assert.ok(![...parts.keys()].some((coordinate) => /^__|@deprecated|@include/.test(coordinate)));
});

test('the last release is the greatest version without a suffix', () => {
  assert.equal(newest(['1.9.0', '1.10.0', '0.99.99', '2.0.0-rc.1', 'README.md']), '1.10.0');
  assert.equal(newest(['README.md']), undefined);
});
