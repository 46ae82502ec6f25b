// Runs graphql-http's audits against a server: node audit.mjs http://127.0.0.1:4000/graphql
// Prints, as one line of JSON, how many were run and the names of those that failed, by what the
// specification says of them: a server must, should or may.
import { serverAudits } from 'graphql-http';

const kinds = { error: 'must', warn: 'should', notice: 'may' };
const found = { run: 0, must: [], should: [], may: [] };
for (const audit of serverAudits({ url: process.argv[2], fetchFn: fetch })) {
  const result = await audit.fn();
  found.run += 1;
  if (result.status !== 'ok') found[kinds[result.status]].push(result.name);
}
console.log(JSON.stringify(found));
