package parse

// RoleValue gives the value ("Mail.Read") of a permission id as it stands in
// AppRole.Id and in RequiredResourceAccess, for app roles and delegated scopes
// of Microsoft's APIs that matter to who can read mail, files and the
// directory, or can give itself that. It returns "" for an id it does not know.
// The id must be in lower case.
//
// Source: Microsoft Graph permissions reference (permissions-descriptions.json
// of microsoft-graph-devx-content); the service principals of Office 365
// Exchange Online and Office 365 Management APIs.
func RoleValue(id string) string {
	switch id {
	// App roles of Exchange Online and of the Management APIs: without a user.
	case "dc890d15-9560-4a4c-9b7f-a736ec74ec40":
		return "full_access_as_app"
	case "dc50a0fb-09a3-484d-be87-e023b12c6440":
		return "Exchange.ManageAsApp"
	case "5e5addcd-3e8d-4e90-baf5-964efab2b20a":
		return "IMAP.AccessAsApp"
	case "cb842b43-da6e-4506-86fe-bb12199c656d":
		return "POP.AccessAsApp"
	case "7146a1f0-8703-45b3-9eae-527a64c00995":
		return "SMTP.SendAsApp"
	case "594c1fb6-4f81-4475-ae41-0c394909246c":
		return "ActivityFeed.Read"
	case "4807a72c-ad38-4250-94c9-4eabfe26cd55":
		return "ActivityFeed.ReadDlp"
	case "e2cea78f-e743-4d8f-a16a-75b629a038ae":
		return "ServiceHealth.Read"

	// App roles of Microsoft Graph: without a user, for every mailbox, site or object.
	case "06b708a9-e830-4db3-a914-8e69da51d44f":
		return "AppRoleAssignment.ReadWrite.All"
	case "9a5d68dd-52b0-4cc2-bd40-abcf44ac3a30":
		return "Application.Read.All"
	case "1bfefb4e-e0b5-418b-a88f-73c46d2cc8e9":
		return "Application.ReadWrite.All"
	case "18a4783c-866b-4cc7-a460-3d5e5662c884":
		return "Application.ReadWrite.OwnedBy"
	case "b0afded3-3588-46d8-8b3d-9842eff778da":
		return "AuditLog.Read.All"
	case "6b0d2622-d34e-4470-935b-b96550e5ca8d":
		return "AuditLogsQuery-Exchange.Read.All"
	case "5e1e9171-754d-478c-812c-f1755a9a4c2d":
		return "AuditLogsQuery.Read.All"
	case "798ee544-9d2d-430c-a058-570e29e34338":
		return "Calendars.Read"
	case "8ba4a692-bc31-4128-9094-475872af8a53":
		return "Calendars.ReadBasic.All"
	case "ef54d2bf-783f-4e0f-bca1-3210c0444d99":
		return "Calendars.ReadWrite"
	case "7b2449af-6ccd-4f4d-9f78-e550c193f0d1":
		return "ChannelMessage.Read.All"
	case "6b7d71aa-70aa-4810-a8d9-5d9fb2830017":
		return "Chat.Read.All"
	case "294ce7c9-31ba-490a-ad7d-97a7d075e4ed":
		return "Chat.ReadWrite.All"
	case "089fe4d0-434a-44c5-8827-41ba8a0b17f5":
		return "Contacts.Read"
	case "6918b873-d17a-4dc1-b314-35f528134491":
		return "Contacts.ReadWrite"
	case "81b4724a-58aa-41c1-8a55-84ef97466587":
		return "DelegatedPermissionGrant.Read.All"
	case "8e8e4742-1d95-4f68-9d56-6ee75648c72a":
		return "DelegatedPermissionGrant.ReadWrite.All"
	case "7ab1d382-f21e-4acd-a863-ba3e13f7da61":
		return "Directory.Read.All"
	case "19dbc75e-c2e2-444c-a770-ec69d8559fc7":
		return "Directory.ReadWrite.All"
	case "7e05723c-0bb0-42da-be95-ae9f08a6e53c":
		return "Domain.ReadWrite.All"
	case "01d4889c-1287-42c6-ac1f-5d1e02578ef6":
		return "Files.Read.All"
	case "75359482-378d-4052-8f01-80520e7db3cd":
		return "Files.ReadWrite.All"
	case "b47b160b-1054-4efd-9ca0-e2f614696086":
		return "Files.ReadWrite.AppFolder"
	case "bd61925e-3bf4-4d62-bc0b-06b06c96d95c":
		return "Files.SelectedOperations.Selected"
	case "5b567255-7703-4780-807c-7be8301ae99b":
		return "Group.Read.All"
	case "62a82d76-70ea-41e2-9197-370581804d09":
		return "Group.ReadWrite.All"
	case "dbaae8cf-10b5-4b86-a4a1-f871c94c6695":
		return "GroupMember.ReadWrite.All"
	case "810c84a8-4a9e-49e6-bf7d-12d183f40d01":
		return "Mail.Read"
	case "6be147d2-ea4f-4b5a-a3fa-3eab6f3c140a":
		return "Mail.ReadBasic"
	case "693c5e45-0940-467d-9b8a-1022fb9d42ef":
		return "Mail.ReadBasic.All"
	case "e2a3a72e-5f79-4c64-b1b1-878b674786c9":
		return "Mail.ReadWrite"
	case "b633e1c5-b582-4048-a93e-9f11b44c7e96":
		return "Mail.Send"
	case "99280d24-a782-4793-93cc-0888549957f6":
		return "MailboxFolder.Read.All"
	case "fef87b92-8391-4589-9da7-eb93dab7dc8a":
		return "MailboxFolder.ReadWrite.All"
	case "76577085-e73d-4f1d-b26a-85fb33892327":
		return "MailboxItem.ImportExport.All"
	case "7d9f353d-a7bd-4fbb-822a-26d5dd39a3ce":
		return "MailboxItem.Read.All"
	case "40f97065-369a-49f4-947c-6a255697ae91":
		return "MailboxSettings.Read"
	case "6931bccd-447a-43d1-b442-00a195474933":
		return "MailboxSettings.ReadWrite"
	case "3aeca27b-ee3a-4c2b-8ded-80376e2134a4":
		return "Notes.Read.All"
	case "0c458cef-11f3-48c2-a568-c66751c238c0":
		return "Notes.ReadWrite.All"
	case "498476ce-e0fe-48b0-b801-37ba7e2685c6":
		return "Organization.Read.All"
	case "292d869f-3427-49a8-9dab-8c70152b74e9":
		return "Organization.ReadWrite.All"
	case "b528084d-ad10-4598-8b93-929746b4d7d6":
		return "People.Read.All"
	case "be74164b-cff1-491c-8741-e671cb536e13":
		return "Policy.ReadWrite.ApplicationConfiguration"
	case "29c18626-4985-4dcd-85c0-193eef327366":
		return "Policy.ReadWrite.AuthenticationMethod"
	case "fb221be6-99f2-473f-bd32-01c6a0e9ca3b":
		return "Policy.ReadWrite.Authorization"
	case "01c0a623-fc9b-48e9-b794-0756f8e8f067":
		return "Policy.ReadWrite.ConditionalAccess"
	case "a402ca1c-2696-4531-972d-6e5ee4aa11ea":
		return "Policy.ReadWrite.PermissionGrant"
	case "854d9ab1-6657-4ec8-be45-823027bcd009":
		return "PrivilegedAccess.ReadWrite.AzureAD"
	case "2f6817f8-7b12-4f0f-bc18-eeaf60705a9e":
		return "PrivilegedAccess.ReadWrite.AzureADGroup"
	case "6f9d5abc-2db6-400b-a267-7de22a40fb87":
		return "PrivilegedAccess.ReadWrite.AzureResources"
	case "dd199f4a-f148-40a4-a2ec-f0069cc799ec":
		return "RoleAssignmentSchedule.ReadWrite.Directory"
	case "fee28b28-e1f3-4841-818e-2704dc62245f":
		return "RoleEligibilitySchedule.ReadWrite.Directory"
	case "9e3f62cf-ca93-4989-b6ce-bf83c28f9fe8":
		return "RoleManagement.ReadWrite.Directory"
	case "025d3225-3f02-4882-b4c0-cd5b541a4e80":
		return "RoleManagement.ReadWrite.Exchange"
	case "a82116e5-55eb-4c41-a434-62fe8a61c773":
		return "Sites.FullControl.All"
	case "0c0bf378-bf22-4481-8f81-9e89a9b4960a":
		return "Sites.Manage.All"
	case "332a536c-c7ef-4017-ab91-336970924f0d":
		return "Sites.Read.All"
	case "9492366f-7969-46a4-8d15-ed1a20078fff":
		return "Sites.ReadWrite.All"
	case "883ea226-0bf2-4a8f-9f9d-92c9162a727d":
		return "Sites.Selected"
	case "5ba43d2f-fa88-4db2-bd1c-a67c5f0fb1ce":
		return "Synchronization.Read.All"
	case "9b50c33d-700f-43b1-b2eb-87e89b703581":
		return "Synchronization.ReadWrite.All"
	case "cc117bb9-00cf-4eb8-b580-ea2a878fe8f7":
		return "User-PasswordProfile.ReadWrite.All"
	case "3011c876-62b7-4ada-afa2-506cbbecc68c":
		return "User.EnableDisableAccount.All"
	case "405a51b5-8d8d-430b-9842-8be4b0e9f324":
		return "User.Export.All"
	case "df021288-bdef-4463-88db-98f22de89214":
		return "User.Read.All"
	case "97235f07-e226-4f63-ace3-39588e11d3a1":
		return "User.ReadBasic.All"
	case "741f803b-c850-494e-b5df-cde7c675a1ca":
		return "User.ReadWrite.All"
	case "38d9df27-64da-44fd-b7c5-a6fbac20248f":
		return "UserAuthenticationMethod.Read.All"
	case "50483e42-d915-4231-9639-7fdb7fd190e5":
		return "UserAuthenticationMethod.ReadWrite.All"
	case "50180013-6191-4d1e-a373-e590ff4e66af":
		return "eDiscovery.Read.All"
	case "b2620db1-3bf7-4c5b-9cb9-576d29eac736":
		return "eDiscovery.ReadWrite.All"

	// Delegated scopes: with a user, for what that user may reach.
	case "3b5f3d61-589b-4a3c-a359-5dd4b5ee5bd5":
		return "EWS.AccessAsUser.All"
	case "84bccea3-f856-4a8a-967b-dbe0a3d53a64":
		return "AppRoleAssignment.ReadWrite.All"
	case "c79f8feb-a9db-4090-85f9-90d820caa0eb":
		return "Application.Read.All"
	case "bdfbf15f-ee85-4955-8675-146e8e5296b5":
		return "Application.ReadWrite.All"
	case "e4c9e354-4dc5-45b8-9e7c-e1393b0b1a20":
		return "AuditLog.Read.All"
	case "6c8c71d2-c7e1-45b0-ac6d-1d2724fba6ae":
		return "AuditLogsQuery-Exchange.Read.All"
	case "1d9e7ac3-0eca-442c-82f9-e92625af6e6d":
		return "AuditLogsQuery.Read.All"
	case "465a38f9-76ea-45b9-9f34-9e8b0d4b0b42":
		return "Calendars.Read"
	case "2b9c4092-424d-4249-948d-b43879977640":
		return "Calendars.Read.Shared"
	case "662d75ba-a364-42ad-adee-f5f880ea4878":
		return "Calendars.ReadBasic"
	case "1ec239c2-d7c9-4623-a91a-a9775856bb36":
		return "Calendars.ReadWrite"
	case "12466101-c9b8-439a-8589-dd09ee67e8e9":
		return "Calendars.ReadWrite.Shared"
	case "767156cb-16ae-4d10-8f8b-41b657c8c8c8":
		return "ChannelMessage.Read.All"
	case "5922d31f-46c8-4404-9eaf-2117e390a8a4":
		return "ChannelMessage.ReadWrite"
	case "f501c180-9344-439a-bca0-6cbf209fd270":
		return "Chat.Read"
	case "9ff7295e-131b-4d94-90e1-69fde507ac11":
		return "Chat.ReadWrite"
	case "7e9a077b-3711-42b9-b7cb-5fa5f3f7fea7":
		return "Chat.ReadWrite.All"
	case "ff74d97f-43af-4b68-9f2a-b77ee6968c5d":
		return "Contacts.Read"
	case "242b9d9e-ed24-4d09-9a52-f43769beb9d4":
		return "Contacts.Read.Shared"
	case "d56682ec-c09e-4743-aaf4-1a3aac4caa21":
		return "Contacts.ReadWrite"
	case "afb6c84b-06be-49af-80bb-8f3f77004eab":
		return "Contacts.ReadWrite.Shared"
	case "a197cdc4-a8e8-4d49-9d35-4ca7c83887b4":
		return "DelegatedPermissionGrant.Read.All"
	case "41ce6ca6-6826-4807-84f1-1c82854f7ee5":
		return "DelegatedPermissionGrant.ReadWrite.All"
	case "0e263e50-5827-48a4-b97c-d940288653c7":
		return "Directory.AccessAsUser.All"
	case "06da0dbc-49e2-44d2-8312-53f166ab848a":
		return "Directory.Read.All"
	case "c5366453-9fb0-48a5-a156-24f0c49a4b84":
		return "Directory.ReadWrite.All"
	case "0b5d694c-a244-4bde-86e6-eb5cd07730fe":
		return "Domain.ReadWrite.All"
	case "9769c687-087d-48ac-9cb3-c37dde652038":
		return "EWS.AccessAsUser.All"
	case "10465720-29dd-4523-a11a-6a75c743c9d9":
		return "Files.Read"
	case "df85f4d6-205c-4ac5-a5ea-6bf408dba283":
		return "Files.Read.All"
	case "5447fe39-cb82-4c1a-b977-520e67e724eb":
		return "Files.Read.Selected"
	case "5c28f0bf-8a70-41f1-8ab2-9032436ddb65":
		return "Files.ReadWrite"
	case "863451e7-0667-486c-a5d6-d135439485f0":
		return "Files.ReadWrite.All"
	case "8019c312-3263-48e6-825e-2b833497195b":
		return "Files.ReadWrite.AppFolder"
	case "17dde5bd-8c17-420f-a486-969730c1b827":
		return "Files.ReadWrite.Selected"
	case "ef2779dc-ef1b-4211-8310-8a0ac2450081":
		return "Files.SelectedOperations.Selected"
	case "5f8c59db-677d-491f-a6b8-5f174b11ec1d":
		return "Group.Read.All"
	case "4e46008b-f24c-477d-8fff-7bb4ec7aafe0":
		return "Group.ReadWrite.All"
	case "f81125ac-d3b7-4573-a3b2-7099cc39df9e":
		return "GroupMember.ReadWrite.All"
	case "652390e4-393a-48de-9484-05f9b1212954":
		return "IMAP.AccessAsUser.All"
	case "570282fd-fa5c-430d-a7fd-fc8dc98a9dca":
		return "Mail.Read"
	case "7b9103a5-4610-446b-9670-80643382c1fa":
		return "Mail.Read.Shared"
	case "a4b8392a-d8d1-4954-a029-8e668a39a170":
		return "Mail.ReadBasic"
	case "b11fa0e7-fdb7-4dc9-b1f1-59facd463480":
		return "Mail.ReadBasic.Shared"
	case "024d486e-b451-40bb-833d-3e66d98c5c73":
		return "Mail.ReadWrite"
	case "5df07973-7d5d-46ed-9847-1271055cbd51":
		return "Mail.ReadWrite.Shared"
	case "e383f46e-2787-4529-855e-0e479a3ffac0":
		return "Mail.Send"
	case "a367ab51-6b49-43bf-a716-a1fb06d2a174":
		return "Mail.Send.Shared"
	case "52dc2051-4958-4636-8f2a-281d39c6981c":
		return "MailboxFolder.Read"
	case "077fde41-7e0b-4c5b-bcd1-e9d743a30c80":
		return "MailboxFolder.ReadWrite"
	case "df96e8a0-f4e1-4ecf-8d83-a429f822cbd6":
		return "MailboxItem.ImportExport"
	case "82305458-296d-4edd-8b0b-74dd74c34526":
		return "MailboxItem.Read"
	case "87f447af-9fa4-4c32-9dfa-4a57a73d18ce":
		return "MailboxSettings.Read"
	case "818c620a-27a9-40bd-a6a5-d96f7d610b4b":
		return "MailboxSettings.ReadWrite"
	case "371361e4-b9e2-4a3f-8315-2a301a3b0a3d":
		return "Notes.Read"
	case "dfabfca6-ee36-4db2-8208-7a28381419b3":
		return "Notes.Read.All"
	case "615e26af-c38a-4150-ae3e-c3b0d4cb1d6a":
		return "Notes.ReadWrite"
	case "64ac0503-b4fa-45d9-b544-71a463f05da0":
		return "Notes.ReadWrite.All"
	case "4908d5b9-3fb2-4b1e-9336-1888b7937185":
		return "Organization.Read.All"
	case "46ca0847-7e6b-426e-9775-ea810a948356":
		return "Organization.ReadWrite.All"
	case "d7b7f2d9-0f45-4ea1-9d42-e50810c06991":
		return "POP.AccessAsUser.All"
	case "ba47897c-39ec-4d83-8086-ee8256fa737d":
		return "People.Read"
	case "b89f9189-71a5-4e70-b041-9887f0bc7e4a":
		return "People.Read.All"
	case "b27add92-efb2-4f16-84f5-8108ba77985c":
		return "Policy.ReadWrite.ApplicationConfiguration"
	case "7e823077-d88e-468f-a337-e18f1f0e6c7c":
		return "Policy.ReadWrite.AuthenticationMethod"
	case "edd3c878-b384-41fd-95ad-e7407dd775be":
		return "Policy.ReadWrite.Authorization"
	case "ad902697-1014-4ef5-81ef-2b4301988e8c":
		return "Policy.ReadWrite.ConditionalAccess"
	case "2672f8bb-fd5e-42e0-85e1-ec764dd2614e":
		return "Policy.ReadWrite.PermissionGrant"
	case "3c3c74f5-cdaa-4a97-b7e0-4e788bfcfb37":
		return "PrivilegedAccess.ReadWrite.AzureAD"
	case "32531c59-1f32-461f-b8df-6f8a3b89f73b":
		return "PrivilegedAccess.ReadWrite.AzureADGroup"
	case "a84a9652-ffd3-496e-a991-22ba5529156a":
		return "PrivilegedAccess.ReadWrite.AzureResources"
	case "8c026be3-8e26-4774-9372-8d5d6f21daff":
		return "RoleAssignmentSchedule.ReadWrite.Directory"
	case "62ade113-f8e0-4bf9-a6ba-5acb31db32fd":
		return "RoleEligibilitySchedule.ReadWrite.Directory"
	case "d01b97e9-cbc0-49fe-810a-750afd5527a3":
		return "RoleManagement.ReadWrite.Directory"
	case "c1499fe0-52b1-4b22-bed2-7a244e0e879f":
		return "RoleManagement.ReadWrite.Exchange"
	case "258f6531-6087-4cc4-bb90-092c5fb3ed3f":
		return "SMTP.Send"
	case "5a54b8b3-347c-476d-8f8e-42d5c7424d29":
		return "Sites.FullControl.All"
	case "65e50fdc-43b7-4915-933e-e8138f11f40a":
		return "Sites.Manage.All"
	case "205e70e5-aba6-4c52-a976-6d2d46c48043":
		return "Sites.Read.All"
	case "89fe6a52-be36-487e-b7d8-d061c450a026":
		return "Sites.ReadWrite.All"
	case "f89c84ef-20d0-4b54-87e9-02e856d66d53":
		return "Sites.Selected"
	case "7aa02aeb-824f-4fbe-a3f7-611f751f5b55":
		return "Synchronization.Read.All"
	case "7bb27fa3-ea8f-4d67-a916-87715b6188bd":
		return "Synchronization.ReadWrite.All"
	case "56760768-b641-451f-8906-e1b8ab31bca7":
		return "User-PasswordProfile.ReadWrite.All"
	case "f92e74e7-2563-467f-9dd0-902688cb5863":
		return "User.EnableDisableAccount.All"
	case "e1fe6dd8-ba31-4d61-89e7-88639da4683d":
		return "User.Read"
	case "a154be20-db9c-4678-8ab7-66f6cc099a59":
		return "User.Read.All"
	case "b340eb25-3456-403f-be2f-af7a0d370277":
		return "User.ReadBasic.All"
	case "b4e74841-8e56-480b-be8b-910348b18b4c":
		return "User.ReadWrite"
	case "204e0828-b5ca-4ad8-b9f3-f32a958e7cc4":
		return "User.ReadWrite.All"
	case "1f6b61c5-2f65-4135-9c9f-31c0f8d32b52":
		return "UserAuthenticationMethod.Read"
	case "aec28ec7-4d02-4e8c-b864-50163aea77eb":
		return "UserAuthenticationMethod.Read.All"
	case "48971fc1-70d7-4245-af77-0beb29b53ee2":
		return "UserAuthenticationMethod.ReadWrite"
	case "b7887744-6746-4312-813d-72daeaee7e2d":
		return "UserAuthenticationMethod.ReadWrite.All"
	case "99201db3-7652-4d5a-809a-bdb94f85fe3c":
		return "eDiscovery.Read.All"
	case "acb8f680-0834-4146-b69e-4ab1b39745ad":
		return "eDiscovery.ReadWrite.All"
	case "64a6cdd6-aab1-4aaf-94b8-3cc8405e90d0":
		return "email"
	case "7427e0e9-2fba-42fe-b0c0-848c9e6a8182":
		return "offline_access"
	case "37f7f235-527c-4136-accd-4a02d197296e":
		return "openid"
	case "14dad69e-099b-42c9-810b-d002981feec1":
		return "profile"
	}
	return ""
}

// DirectoryRole gives the name of a directory role by its template id, for
// the roles that matter to who can reach mail or raise itself to it. The id
// must be in lower case.
//
// Source: "Microsoft Entra built-in roles".
func DirectoryRole(template string) string {
	switch template {
	case "62e90394-69f5-4237-9190-012177145e10":
		return "Global Administrator"
	case "29232cdf-9323-42fd-ade2-1d097af3e4de":
		return "Exchange Administrator"
	case "e8611ab8-c189-46e8-94e1-60213ab1f814":
		return "Privileged Role Administrator"
	case "7be44c8a-adaf-4e2a-84d6-ab2649e08a13":
		return "Privileged Authentication Administrator"
	case "9b895d92-2cd3-44c7-9d02-a6ac2d5ea5c3":
		return "Application Administrator"
	case "158c047a-c907-4556-b7ef-446551a6b5f7":
		return "Cloud Application Administrator"
	case "fe930be7-5e62-47db-91af-98c3a49a38b1":
		return "User Administrator"
	case "c4e39bd9-1100-46d3-8c65-fb160da0071f":
		return "Authentication Administrator"
	case "0526716b-113d-4c15-b2c8-68e3c22b9f80":
		return "Authentication Policy Administrator"
	case "194ae4cb-b126-40b2-bd5b-6091b380977d":
		return "Security Administrator"
	case "b1be1c3e-b65d-4f19-8427-f6fa0d97feb9":
		return "Conditional Access Administrator"
	case "729827e3-9c14-49f7-bb1b-9608f156bbb8":
		return "Helpdesk Administrator"
	case "966707d0-3269-4727-9be2-8c3a10f19b9d":
		return "Password Administrator"
	case "f28a1f50-f6e7-4571-818b-6a12f2af6b6c":
		return "SharePoint Administrator"
	case "69091246-20e8-4a56-aa4d-066075b2a7a8":
		return "Teams Administrator"
	case "8ac3fc64-6eca-42ea-9e69-59f4c7b60eb2":
		return "Hybrid Identity Administrator"
	case "8329153b-31d0-4727-b945-745eb3bc5f31":
		return "Domain Name Administrator"
	case "be2f45a1-457d-42af-a067-6ec1fa63bc45":
		return "External Identity Provider Administrator"
	case "17315797-102d-40b4-93e0-432062caca18":
		return "Compliance Administrator"
	case "f2ef992c-3afb-46b9-b7cf-a126ee74c451":
		return "Global Reader"
	case "5d6b6bb7-de71-4623-b4af-96380a352509":
		return "Security Reader"
	case "88d8e3e3-8f55-4a1e-953a-9b9898b8876b":
		return "Directory Readers"
	case "9360feb5-f418-4baa-8175-e2a00bac4301":
		return "Directory Writers"
	case "d29b2b05-8046-44ba-8758-1e26182fcf32":
		return "Directory Synchronization Accounts"
	}
	return ""
}

// resourceName gives the name of a Microsoft API by its application id.
func resourceName(id string) string {
	switch id {
	case "00000002-0000-0ff1-ce00-000000000000":
		return "Office 365 Exchange Online"
	case "00000003-0000-0000-c000-000000000000":
		return "Microsoft Graph"
	case "00000003-0000-0ff1-ce00-000000000000":
		return "Office 365 SharePoint Online"
	case "00000002-0000-0000-c000-000000000000":
		return "Windows Azure Active Directory"
	case "c5393580-f805-4401-95e8-94b7a6ef2fc2":
		return "Office 365 Management APIs"
	}
	return ""
}
