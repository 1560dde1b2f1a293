#include "plugin/cluster/resource.h"

#include <gtest/gtest.h>

namespace npu_ipc::cluster {
namespace {

TEST(Resource, HasThePathsOfTheApi) {
  EXPECT_EQ(UrlPath({kPods, "", ""}), "/api/v1/pods");
  EXPECT_EQ(UrlPath({kPods, "ns", "p"}), "/api/v1/namespaces/ns/pods/p");
  EXPECT_EQ(UrlPath({kNodes, "", "node-1.example"}), "/api/v1/nodes/node-1.example");
  EXPECT_EQ(UrlPath({{"apps", "v1", "deployments"}, "ns", ""}),
            "/apis/apps/v1/namespaces/ns/deployments");
}

TEST(Resource, KeepsAnyNameInItsPlace) {
  EXPECT_EQ(UrlPath({kNodes, "", "../a?b=c#d"}), "/api/v1/nodes/..%2Fa%3Fb%3Dc%23d");
  EXPECT_EQ(UrlQuery({{"fieldSelector", "spec.nodeName=a&b"}, {"watch", "true"}}),
            "?fieldSelector=spec.nodeName%3Da%26b&watch=true");
  EXPECT_EQ(UrlQuery({}), "");
  EXPECT_EQ(PercentEncoded("\xc3\xa4 ~-._"), "%C3%A4%20~-._");
}

TEST(Resource, HasAName) {
  EXPECT_EQ(Describe({kPods, "", ""}), "pods");
  EXPECT_EQ(Describe({kPods, "ns", "p"}), "pods/p in ns");
  EXPECT_EQ(Describe({{"apps", "v1", "deployments"}, "", ""}), "deployments.apps");
}

}  // namespace
}  // namespace npu_ipc::cluster
