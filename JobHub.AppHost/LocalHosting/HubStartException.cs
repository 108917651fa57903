namespace JobHub.AppHost.LocalHosting;

/// <summary>The system cannot run; the message says why and what to do, in words for whoever started it.</summary>
public sealed class HubStartException(string message) : Exception(message);
