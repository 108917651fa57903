using System.Text.Json;
using System.Text.Json.Serialization;
using JobHub.Engine.Protocol;

namespace JobHub.Worker.Agent;

/// <summary>The wire of /agent/v1: camelCase, enums as text, nulls left out. Source-generated, so a claim of many attempts costs no reflection.</summary>
[JsonSourceGenerationOptions(JsonSerializerDefaults.Web, UseStringEnumConverter = true, DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull)]
[JsonSerializable(typeof(OpenSession))]
[JsonSerializable(typeof(SessionOpened))]
[JsonSerializable(typeof(FolderProof))]
[JsonSerializable(typeof(ClaimRequest))]
[JsonSerializable(typeof(ClaimAnswer))]
[JsonSerializable(typeof(RenewRequest))]
[JsonSerializable(typeof(RenewAnswer))]
[JsonSerializable(typeof(ControlAnswer))]
[JsonSerializable(typeof(CompleteRequest))]
[JsonSerializable(typeof(CompleteAnswer))]
[JsonSerializable(typeof(AttemptResult))]
[JsonSerializable(typeof(AttemptSpec))]
[JsonSerializable(typeof(RunPage))]
[JsonSerializable(typeof(FilePage))]
[JsonSerializable(typeof(LogContent))]
[JsonSerializable(typeof(PendingOutput))]
[JsonSerializable(typeof(UploadOpened))]
[JsonSerializable(typeof(PartUrlsRequest))]
[JsonSerializable(typeof(string[]))]
[JsonSerializable(typeof(AttemptOrder))]
internal sealed partial class AgentJson : JsonSerializerContext;

/// <summary>What `run-attempt` is given: exactly one attempt, the session that holds its lease, and how to reach the hub.</summary>
/// <param name="Api">Base address of the hub; null = the worker's own settings.</param>
/// <param name="Bearer">The token to speak to the hub with; null = the worker's own token file.</param>
public sealed record AttemptOrder(long Session, AttemptSpec Spec, string? Api = null, string? Bearer = null)
{
    /// <inheritdoc />
    public override string ToString() => $"AttemptOrder({Spec.TaskName})";
}
