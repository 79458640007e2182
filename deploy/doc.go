// Package deploy holds the chart, the image's Dockerfile and the compose file against Helm, Kubernetes, compose and the product. It
// has tests alone, in a module of their own: what they need to read those files is larger than the product.
//
// They need neither Docker nor a Kubernetes cluster: the chart is linted and rendered by Helm's own code and decoded strictly into
// Kubernetes' own types, the compose file is loaded by compose's, the Dockerfile is parsed by BuildKit's, and its build command is
// run. Whether an image can be built and whether a cluster accepts the objects they cannot tell.
package deploy
