package kubernetes

import (
	"fmt"
	"testing"

	cnpgv1 "github.com/cloudnative-pg/cloudnative-pg/api/v1"
	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
)

// newDecoder decodes into the types of Kubernetes's API, of the Prometheus operator's and of CloudNativePG's, and refuses fields
// that they do not have.
func newDecoder(t *testing.T) runtime.Decoder {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{
		appsv1.AddToScheme, batchv1.AddToScheme, corev1.AddToScheme, networkingv1.AddToScheme, policyv1.AddToScheme,
		monitoringv1.AddToScheme, cnpgv1.AddToScheme,
	} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	return serializer.NewCodecFactory(scheme, serializer.EnableStrict).UniversalDeserializer()
}

// decode decodes each document of text.
func decode(t *testing.T, text []byte) []runtime.Object {
	t.Helper()
	strict := newDecoder(t)
	var objects []runtime.Object
	for _, document := range documents(t, text) {
		object, _, err := strict.Decode(document, nil, nil)
		if err != nil {
			t.Errorf("%v in\n%s", err, document)
			continue
		}
		objects = append(objects, object)
	}
	if len(objects) == 0 {
		t.Fatal("there is no object")
	}
	return objects
}

// find returns the object of type T that is called name.
func find[T metav1.Object](t *testing.T, objects []runtime.Object, name string) T {
	t.Helper()
	for _, object := range objects {
		if found, ok := object.(T); ok && found.GetName() == name {
			return found
		}
	}
	var none T
	t.Fatalf("there is no %T called %s", none, name)
	return none
}

// podTemplate returns the template of the pods that object makes, or nil if it makes none.
func podTemplate(object runtime.Object) *corev1.PodTemplateSpec {
	switch o := object.(type) {
	case *appsv1.Deployment:
		return &o.Spec.Template
	case *appsv1.StatefulSet:
		return &o.Spec.Template
	case *batchv1.Job:
		return &o.Spec.Template
	case *batchv1.CronJob:
		return &o.Spec.JobTemplate.Spec.Template
	case *corev1.Pod:
		return &corev1.PodTemplateSpec{ObjectMeta: o.ObjectMeta, Spec: o.Spec}
	}
	return nil
}

// nameOf is an object's kind and name, for messages.
func nameOf(object runtime.Object) string {
	name := ""
	if named, ok := object.(metav1.Object); ok {
		name = named.GetName()
	}
	return fmt.Sprintf("%T %s", object, name)
}

// checkRestricted holds each pod against the restricted level of pod security, as admission does.
func checkRestricted(t *testing.T, objects []runtime.Object) {
	t.Helper()
	evaluator, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	if err != nil {
		t.Fatal(err)
	}
	level := api.LevelVersion{Level: api.LevelRestricted, Version: api.LatestVersion()}
	pods := 0
	for _, object := range objects {
		template := podTemplate(object)
		if template == nil {
			continue
		}
		pods++
		result := policy.AggregateCheckResults(evaluator.EvaluatePod(level, &template.ObjectMeta, &template.Spec))
		if !result.Allowed {
			t.Errorf("%s is not restricted: %s", nameOf(object), result.ForbiddenDetail())
		}
		if token := template.Spec.AutomountServiceAccountToken; token == nil || *token {
			t.Errorf("%s mounts the service account's token", nameOf(object))
		}
	}
	if pods == 0 {
		t.Error("there is no pod")
	}
}
