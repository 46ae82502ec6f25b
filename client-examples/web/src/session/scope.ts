// Whose session this page has, where a browser has several side by side: see `src/demo/`. Usually it has one.
let name = '';

/** What is behind the names under which a session is kept. */
export const scoped = (key: string): string => (name === '' ? key : `${key}.${name}`);

/** Call it ahead of everything else. */
export const setScope = (of: string): void => {
  name = of;
};
