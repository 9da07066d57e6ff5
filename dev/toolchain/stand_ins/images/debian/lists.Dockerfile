# The package lists that this machine already fetched, so that no stand-in fetches them again. Mounted, never in a layer.
FROM scratch
COPY . /
