// Loaded by path: by Temporal's worker with `require`, and into the workflow bundle. So it is CommonJS, and nothing
// else.
const { DefaultFailureConverter } = require('@temporalio/common') as typeof import('@temporalio/common');

/**
 * Puts message and stack of a failure where the payload codec reaches them; readers see "Encoded failure" without it.
 */
const failureConverter = new DefaultFailureConverter({ encodeCommonAttributes: true });

module.exports = { failureConverter };
