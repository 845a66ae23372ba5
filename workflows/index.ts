export { accountSlots } from './account-slots.js';
export { salvageVideo } from './salvage-video.js';
export { sweepPurchases } from './sweep-purchases.js';
export { tellWebhook } from './tell-webhook.js';
export { videoBatch } from './video-batch.js';
export { videoGenerate } from './video-generate.js';
