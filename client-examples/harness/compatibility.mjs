// What a change of the schema means for clients that exist. A breaking change is refused, unless what
// goes away was deprecated in the last release, or CHANGELOG.md names it as broken since.
//
// Parts of a schema are named by their coordinates, as the GraphQL specification writes them: `User`,
// `User.name`, `Query.users(first:)`, `LoginInput.email`, `ErrorCode.CONFLICT`, `@cost`, `@cost(points:)`.
import { diff } from '@graphql-inspector/core';
import {
  getNamedType,
  isEnumType,
  isInputObjectType,
  isInterfaceType,
  isIntrospectionType,
  isObjectType,
  isSpecifiedDirective,
  isUnionType,
} from 'graphql';

/** Changes that move no type and yet break: the same request means something else. */
const CHANGED_DEFAULTS = [
  'FIELD_ARGUMENT_DEFAULT_CHANGED',
  'INPUT_FIELD_DEFAULT_VALUE_CHANGED',
  'DIRECTIVE_ARGUMENT_DEFAULT_VALUE_CHANGED',
];

/** What may go away after it was deprecated in a release. */
const REMOVALS = [
  'FIELD_REMOVED',
  'FIELD_ARGUMENT_REMOVED',
  'INPUT_FIELD_REMOVED',
  'ENUM_VALUE_REMOVED',
];

/** All parts of a schema by their coordinates, with their types and whether they are deprecated. */
export function partsOf(schema) {
  const parts = new Map();
  const add = (coordinate, { type, deprecationReason } = {}) =>
    parts.set(coordinate, {
      type: type && getNamedType(type).name,
      isDeprecated: deprecationReason !== undefined && deprecationReason !== null,
    });
  const addArguments = (coordinate, args) => {
    for (const arg of args) add(`${coordinate}(${arg.name}:)`, arg);
  };
  for (const type of Object.values(schema.getTypeMap())) {
    if (isIntrospectionType(type)) continue;
    add(type.name);
    if (isEnumType(type)) {
      for (const value of type.getValues()) add(`${type.name}.${value.name}`, { ...value, type: null });
    }
    if (isObjectType(type) || isInterfaceType(type) || isInputObjectType(type)) {
      for (const field of Object.values(type.getFields())) {
        add(`${type.name}.${field.name}`, field);
        addArguments(`${type.name}.${field.name}`, field.args ?? []);
      }
    }
  }
  for (const directive of schema.getDirectives()) {
    if (isSpecifiedDirective(directive)) continue;
    add(`@${directive.name}`);
    addArguments(`@${directive.name}`, directive.args);
  }
  return parts;
}

/** The coordinate of what a change is about. */
function coordinateOf({ type, path, meta }) {
  // A root of another name, or none: the type that it was.
  if (!path) return meta[Object.keys(meta).find((name) => name.startsWith('old'))];
  // A directive that is used at a part: what is said is said of the part.
  const [part] = path.split('.@');
  if (!/^(FIELD|DIRECTIVE)_ARGUMENT_/.test(type)) return part;
  const [, owner, name] = /^(.*)\.(\w+)$/.exec(part);
  return `${owner}(${name}:)`;
}

/**
 * The types that may go away, since nothing led to them but what was deprecated. One that a client can
 * name in a fragment, as it implements an interface or is a member of a union, is none of them.
 */
function forsaken(schema, parts) {
  const removable = new Set();
  const unions = Object.values(schema.getTypeMap()).filter(isUnionType);
  const isNamed = (type) =>
    (isObjectType(type) && type.getInterfaces().length > 0) ||
    isInterfaceType(type) ||
    isUnionType(type) ||
    unions.some((union) => union.getTypes().includes(type));
  for (let size = -1; size !== removable.size; ) {
    size = removable.size;
    for (const type of Object.values(schema.getTypeMap())) {
      const leading = [...parts].filter(([, part]) => part.type === type.name);
      const isLeft = ([coordinate, { isDeprecated }]) =>
        isDeprecated || removable.has(coordinate.split(/[.(]/)[0]) || isOfDeprecated(parts, coordinate);
      if (leading.length > 0 && !isNamed(type) && leading.every(isLeft)) removable.add(type.name);
    }
  }
  return removable;
}

/** Whether it is an argument of a field that is deprecated. */
const isOfDeprecated = (parts, coordinate) =>
  coordinate.includes('(') && parts.get(coordinate.split('(')[0])?.isDeprecated;

/**
 * Compares a schema with the one before. `broken` are the coordinates that CHANGELOG.md names. Answers
 * with `refused` and `excused` (breaking changes), and `told` (dangerous ones: a client that was
 * careless may fail by them), each as `{ coordinate, message }`.
 */
export async function compare(before, after, broken = new Set()) {
  const parts = partsOf(before);
  const removable = forsaken(before, parts);
  const outcome = { refused: [], excused: [], told: [] };
  for (const change of await diff(before, after)) {
    const { type, message, criticality } = change;
    const coordinate = coordinateOf(change);
    const isBreaking = criticality.level === 'BREAKING' || CHANGED_DEFAULTS.includes(type);
    const wasDeprecated =
      (REMOVALS.includes(type) &&
        (parts.get(coordinate)?.isDeprecated || isOfDeprecated(parts, coordinate))) ||
      (type === 'TYPE_REMOVED' && removable.has(coordinate));
    if (isBreaking) {
      const verdict = wasDeprecated || broken.has(coordinate) ? 'excused' : 'refused';
      outcome[verdict].push({ coordinate, message });
    } else if (criticality.level === 'DANGEROUS') {
      outcome.told.push({ coordinate, message });
    }
  }
  return outcome;
}

/**
 * The coordinates that CHANGELOG.md names as broken since a release, in lists under `### Breaking`:
 *
 *     - `User.name`: use `User.displayName`.
 *
 * Throws where an entry has another form, or names what neither schema has.
 */
export function brokenSince(changelog, version, before, after) {
  const end = changelog.search(new RegExp(`^## \\[?${version.replaceAll('.', '\\.')}[\\]\\s]`, 'm'));
  if (end < 0) throw new Error(`CHANGELOG.md has no section of ${version}.`);
  const known = new Set([...partsOf(before).keys(), ...partsOf(after).keys()]);
  const broken = new Set();
  const sections = changelog.slice(0, end).split(/^(?=##)/m);
  for (const section of sections.filter((text) => /^### Breaking\s*$/m.test(text))) {
    for (const [entry] of section.matchAll(/^- .*$/gm)) {
      const coordinate = /^- `([^`]+)`: \S/.exec(entry)?.[1];
      if (!coordinate) throw new Error(`CHANGELOG.md: "${entry}" is not in the form "- \`User.name\`: …".`);
      if (!known.has(coordinate)) throw new Error(`CHANGELOG.md: no schema has \`${coordinate}\`.`);
      broken.add(coordinate);
    }
  }
  return broken;
}

/** The newest of some versions, as Semantic Versioning orders those without a suffix. */
export function newest(versions) {
  const numbers = (version) => version.split('.').map(Number);
  const releases = versions.filter((version) => /^\d+\.\d+\.\d+$/.test(version));
  return releases.sort((one, other) => {
    const [a, b] = [numbers(one), numbers(other)];
    return a[0] - b[0] || a[1] - b[1] || a[2] - b[2];
  }).at(-1);
}
