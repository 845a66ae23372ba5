export { videoBatch } from './batch/video-batch.js';
export { deliverWebhook } from './shared/deliver-webhook.js';
export { accountSlots } from './slots/account-slots.js';
export { keepSlotsPage } from './slots/page-keeper.js';
export { conformVideo } from './video/conform-video.js';
export { salvageVideo } from './video/salvage-video.js';
export { sweepPurchases } from './video/sweep-purchases.js';
export { videoGenerate } from './video/video-generate.js';
