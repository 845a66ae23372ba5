// Ends a script on a Node.js that is too old with one sentence. Import it first, before what needs a newer one.
import { requireNode } from './node-version.mjs';

requireNode();
