import test from 'node:test';

import { tadaGivesTheSame } from '../../harness/types.mjs';

test('the SDL and introspection give the same types', tadaGivesTheSame);
