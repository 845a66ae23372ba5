# The worker of wan-video. Node 24 ("Krypton") is the newest release line that Node's own release data call LTS.
# Debian 12, because its glibc is what the prebuilt core of Temporal was tried with.
FROM node:24.21.0-bookworm-slim AS base
WORKDIR /app
COPY package.json package-lock.json ./

FROM base AS build
RUN npm ci --no-audit --no-fund
COPY tsconfig.json tsconfig.build.json ./
COPY scripts/run.mjs scripts/fetch-node.mjs scripts/lock.mjs scripts/node-version.mjs scripts/
COPY src src
COPY workflows workflows
COPY activities activities
RUN npm run build

FROM base AS dependencies
# Temporal's native core comes for five platforms, 140 MB; the image runs on one.
RUN npm ci --omit=dev --no-audit --no-fund \
    && find node_modules/@temporalio/core-bridge/releases -mindepth 1 -maxdepth 1 \
       ! -name "$(uname -m)-unknown-linux-gnu" -exec rm -r {} +

# The emulator of docker-compose.yml, with the packages that a worker does without.
FROM base AS emulator
COPY --from=build /app/node_modules node_modules
COPY --from=build /app/dist dist
USER 1000:1000
STOPSIGNAL SIGTERM
ENTRYPOINT ["node", "dist/src/cli/main.js"]

FROM base
ENV NODE_ENV=production \
    # Half of the container's memory; the rest is for Temporal's native core, for buffers and for the spool where it is a tmpfs.
    NODE_OPTIONS=--max-old-space-size-percentage=50 \
    # Temporal's native core allocates in bursts; glibc would keep the pages of each: measured, 200 KiB for every task that is watched.
    MALLOC_ARENA_MAX=2 \
    MALLOC_TRIM_THRESHOLD_=131072 \
    MALLOC_MMAP_THRESHOLD_=131072 \
    # Where videos are spooled before they go to the store: the one place that is written to, so the root may be read-only.
    TMPDIR=/var/spool/wan-video
RUN install -d -o node -g node "$TMPDIR" && ln -s /app/dist/src/cli/main.js /usr/local/bin/wan-video
COPY --from=dependencies /app/node_modules node_modules
COPY --from=build --chmod=0755 /app/dist dist
COPY LICENSE CHANGELOG.md ./
COPY docs docs
COPY docker/worker-health.mjs docker/create-bucket.mjs docker/
# The user `node`, as a number: Kubernetes can see from a number that it is not root.
USER 1000:1000
STOPSIGNAL SIGTERM
# Connecting takes up to 8 s before it is given up.
HEALTHCHECK --interval=30s --timeout=10s --start-period=20s --retries=3 CMD ["node", "docker/worker-health.mjs"]
ENTRYPOINT ["node", "dist/src/cli/main.js"]
CMD ["worker"]
